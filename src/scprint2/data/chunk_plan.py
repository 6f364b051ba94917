"""Which training datasets are processed by one job. Imports nothing heavy, so that planning a workflow stays quick."""

import hashlib
from collections.abc import Mapping, Sequence

FEWEST_CHUNKS = 16  # of any corpus, so that a few large files are processed side by side
CHUNK_DATASETS = 16  # of which a corpus must have more per chunk before it gets more chunks: each costs a job's start


def count_chunks(datasets: int, most: int) -> int:
    """Number of chunks of a corpus: a power of two, so that a corpus that outgrows it only has its chunks cut in two."""
    chunks = FEWEST_CHUNKS
    while chunks * CHUNK_DATASETS < datasets:
        chunks *= 2
    return min(chunks, most)


def chunk_of(name: str, chunks: int) -> str:
    """Number of a dataset's chunk: it depends on nothing but the name, so that other datasets come and go without moving it."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return f"{int.from_bytes(digest, 'big') % chunks:03d}"


def plan_chunks(corpora: Mapping[str, Sequence[str]], most: int) -> dict[tuple[str, str], list[str]]:
    """Datasets of each chunk (corpus, number), in the order of the corpora.

    A dataset belongs to the first corpus that lists it, so that a small corpus can be built without the files of a large one.

    Parameters
    ----------
    most
        Chunks that a corpus has at most.
    """
    planned: dict[tuple[str, str], list[str]] = {}
    seen: set[str] = set()
    for corpus, listed in corpora.items():
        names = [name for name in listed if name not in seen]
        seen.update(names)
        chunks = count_chunks(len(names), most)
        for name in names:
            planned.setdefault((corpus, chunk_of(name, chunks)), []).append(name)
    return planned
