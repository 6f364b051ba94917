"""Which training datasets are processed by one job. Imports nothing heavy, so that planning a workflow stays quick."""

import hashlib
from collections.abc import Mapping, Sequence


def chunk_of(name: str, chunks: int) -> str:
    """Number of a dataset's chunk: it depends on nothing but the name, so that other datasets come and go without moving it."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % chunks:03d}"


def plan_chunks(corpora: Mapping[str, Sequence[str]], chunks: int) -> dict[tuple[str, str], list[str]]:
    """Datasets of each chunk (corpus, number), in the order of the corpora.

    A dataset belongs to the first corpus that lists it, so that a small corpus can be built without the files of a large one.
    """
    planned: dict[tuple[str, str], list[str]] = {}
    seen: set[str] = set()
    for corpus, names in corpora.items():
        for name in names:
            if name not in seen:
                seen.add(name)
                planned.setdefault((corpus, chunk_of(name, chunks)), []).append(name)
    return planned
