"""The seeds of what scores draw: always the same ones, but where it is measured how far a score hangs on them."""

from collections.abc import Iterator
from contextlib import contextmanager

APART = 1000  # between the seeds of two draws, more than any one thing uses
_draw = 0


def fixed_seed(number: int) -> int:
    """The seed of something that is drawn for a score: `number`, and another one inside `drawn_anew`."""
    return number + APART * _draw


@contextmanager
def drawn_anew(draw: int) -> Iterator[None]:
    """Draw everything with other seeds; draw 0 is the usual one."""
    global _draw
    before, _draw = _draw, draw
    try:
        yield
    finally:
        _draw = before
