"""An executed notebook as a page."""

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

from scprint2.pages import render_template

# What a reader needs not see: the cell of parameters as written.
CONFIG = Config({"TagRemovePreprocessor": {"remove_cell_tags": ["parameters"], "enabled": True}})


def render_notebook(path: str | Path) -> str:
    """Render an executed notebook without anything from elsewhere: nbconvert's own pages load scripts from the network."""
    notebook = nbformat.read(path, as_version=4)
    exporter = HTMLExporter(template_name="basic", exclude_anchor_links=True, config=CONFIG)
    body, _ = exporter.from_notebook_node(notebook)
    return render_template(
        "notebook.html",
        title=find_title(notebook),
        body=body,
        light=HtmlFormatter(style="default").get_style_defs(".highlight"),
        dark=HtmlFormatter(style="github-dark").get_style_defs(".highlight"),
    )


def find_title(notebook: nbformat.NotebookNode) -> str:
    """Return the first heading of a notebook."""
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "Notebook")
