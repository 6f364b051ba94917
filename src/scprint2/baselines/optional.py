"""Libraries that some baselines call and that the package does not need: a missing one fails their row, not the run."""

from importlib import import_module
from typing import Any


def require(module: str, *, package: str) -> Any:
    """Import a library, or say how to get it.

    Raises
    ------
    ValueError
        If it is not installed: scores of the row are then failed ones with this reason.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"this baseline needs {package}, and {error.name!r} is not installed; `pip install 'scprint2[peers]'` installs it"
        ) from error
