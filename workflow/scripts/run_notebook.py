"""Run notebooks with papermill, several as the sections of one, and write the executed notebook and its HTML."""

import argparse
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import papermill
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from scprint2.files import atomic_path, write_text
from scprint2.metrics import journal
from scprint2.notebook_page import render_notebook

LOG = logging.getLogger(__name__)
Value = str | int | list[str]
ROW = "ROW"  # stands for the name of a row in paths and values


def main() -> None:
    """Run, and publish beside the log only what ran to its end."""
    options = read_options()
    parameters = dict(parse(pair) for pair in options.parameters) | {name: files for name, *files in options.files}
    notebook = merge(options.notebooks)
    rows = list(options.rows)
    with keep_journals() as journals:
        while rows:
            deaths = journal.count_deaths(journals)
            try:
                with start_kernel() as kernel:
                    while rows:
                        run_row(rows[0], notebook, options, parameters, kernel)
                        rows.pop(0)
            except DeadKernelError:
                if journal.count_deaths(journals) == deaths:
                    raise
                LOG.warning("%s: the kernel died while it computed a score. Another one goes on without it.", rows[0])


def run_row(
    row: str,
    notebook: NotebookNode,
    options: argparse.Namespace,
    parameters: dict[str, Value],
    kernel: AsyncKernelManager,
) -> None:
    """Run the notebook of one row, and publish it."""
    log, out = (Path(str(path).replace(ROW, row)) for path in (options.log, options.out))
    execute(notebook, log, {name: name_row(value, row) for name, value in parameters.items()}, kernel)
    with atomic_path(out) as path:
        shutil.copyfile(log, path)
    write_text(out.with_suffix(".html"), render_notebook(out))


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
    parser.add_argument(
        "--rows",
        nargs="+",
        default=[ROW],
        metavar="NAME",
        help=f"run once for each of these, with its name in the place of {ROW} in paths and parameters",
    )
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


def name_row(value: Value, row: str) -> Value:
    """Put the name of a row in its place."""
    if isinstance(value, int):
        return value
    return value.replace(ROW, row) if isinstance(value, str) else [text.replace(ROW, row) for text in value]


@contextmanager
def start_kernel() -> Iterator[AsyncKernelManager]:
    """Yield a kernel over IPC sockets of its own (TCP ports race between kernels of one machine).

    It starts with the first notebook. Notebooks that share it share its imports, which take most of the time of a small one.
    """
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=os.path.join(folder, "k"))
        try:
            yield kernel
        finally:
            if kernel.has_kernel:
                run_sync(kernel.shutdown_kernel)(now=True)


@contextmanager
def keep_journals() -> Iterator[Path]:
    """Yield a folder where kernels find which scores the ones before them have made."""
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        os.environ[journal.FOLDER] = folder
        yield Path(folder)


def execute(notebook: NotebookNode, log: Path, parameters: dict[str, Value], kernel: AsyncKernelManager) -> None:
    """Run a notebook, in a kernel that forgets the names of the one before."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if kernel.has_kernel:
        NotebookClient(
            new_notebook(cells=[new_code_cell("get_ipython().reset(new_session=True)")]), km=kernel
        ).execute()
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        source = Path(folder) / "source.ipynb"
        nbformat.write(notebook, source)
        papermill.execute_notebook(
            str(source), str(log), parameters=parameters, kernel_name=kernel.kernel_name, progress_bar=False, km=kernel
        )


if __name__ == "__main__":
    main()
