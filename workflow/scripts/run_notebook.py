"""Run notebooks with papermill, several as the sections of one, and write the executed notebook and its HTML."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode
from traitlets.config import Config

from scprint2.files import atomic_path, write_text
from scprint2.notebook_page import render_notebook


def main() -> None:
    """Run, and publish beside the log only what ran to its end."""
    options = read_options()
    parameters = dict(parse(pair) for pair in options.parameters) | {name: files for name, *files in options.files}
    execute(merge(options.notebooks), options.log, parameters)
    with atomic_path(options.out) as path:
        shutil.copyfile(options.log, path)
    write_text(options.out.with_suffix(".html"), render_notebook(options.out))


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--log", type=Path, required=True, help="executed notebook, kept as far as it came when a cell fails"
    )
    parser.add_argument("--out", type=Path, required=True, help="executed notebook; an .html is written beside it")
    parser.add_argument(
        "--files",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "FILE"),
        help="a parameter that is a list of files",
    )
    parser.add_argument("--parameters", nargs="*", default=[], help="name=value; a whole number becomes one")
    return parser.parse_args()


def parse(pair: str) -> tuple[str, str | int]:
    """Split name=value."""
    name, _, value = pair.partition("=")
    return name, int(value) if value.isdigit() else value


def merge(paths: list[Path]) -> NotebookNode:
    """Lay notebooks one after the other, with the cell of parameters of the first one only."""
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    merged = notebooks[0]
    for notebook in notebooks[1:]:
        merged.cells += [cell for cell in notebook.cells if "parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(merged.cells):
        cell.id = f"cell-{number}"
    return merged


def execute(notebook: NotebookNode, log: Path, parameters: dict) -> None:
    """Run a notebook in one kernel over IPC sockets of its own (TCP ports race between kernels of one machine)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        source = Path(folder) / "source.ipynb"
        nbformat.write(notebook, source)
        config = Config()
        config.KernelManager.transport = "ipc"
        config.KernelManager.ip = os.path.join(folder, "k")
        papermill.execute_notebook(
            str(source), str(log), parameters=parameters, kernel_name="python3", progress_bar=False, config=config
        )


if __name__ == "__main__":
    main()
