"""One function per kind of figure; each returns a matplotlib Figure."""
