"""Sphinx: these pages and the public functions as a website (`make docs`)."""

import scprint2

project = "scPRINT-2 benchmark"
author = "The scPRINT-2 benchmark developers"
copyright = "BSD-3-Clause"
release = version = scprint2.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "scripts"]
html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {"show_toc_level": 2, "use_download_button": False}
html_copy_source = False

default_role = "code"  # what stands in single backticks in docstrings
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True
# The pages lead to files of the repository, too (config/, src/), which are no pages here.
suppress_warnings = ["myst.xref_missing", "ref.myst"]
