"""The results as a website in one folder: every page stands alone, nothing is loaded from elsewhere."""
