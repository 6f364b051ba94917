"""Batches of training and validation: the batch of step t is a pure function of (seed, t), whatever the threads and ranks."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, field_validator

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.collate import RaggedCells, collate
from scprint2.data.context import GenesConfig, GeneSpace, RandomExpressedGenes
from scprint2.data.corpus import Corpus
from scprint2.data.neighbors import MetacellsConfig, NeighborsConfig, fill_neighbors
from scprint2.data.read_ahead import ask_for_cells, ask_for_counts
from scprint2.data.sampler import SamplingConfig, generator
from scprint2.data.shard import TRAINING, VALIDATION, Rows
from scprint2.data.vocabulary import CLASSES
from scprint2.randomness import stream

VALIDATION_SEED = 0  # the same validation batches for every seed of a training
WINDOW_ROWS = 8192  # cells and neighbors that the disk is asked for at once, some 60 MB

__all__ = ["BatchLoader", "DataConfig", "RaggedCells", "ValidationLoader", "collate", "context_size"]


class DataConfig(Node):
    """What a model is trained on: corpus, classes, genes in context, which cells, and what comes with a cell."""

    corpus: str = Field(pattern=r"^[a-z0-9_-]+$")
    classes: tuple[str, ...] = Field(min_length=1)
    genes: GenesConfig
    sampling: SamplingConfig
    neighbors: NeighborsConfig
    metacells: MetacellsConfig

    @field_validator("classes")
    @classmethod
    def _known(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if set(classes) - set(CLASSES) or len(set(classes)) < len(classes):
            raise ValueError(f"classes {list(classes)}: each name once, out of {list(CLASSES)}")
        return classes


def context_size(config: GenesConfig, corpus: Corpus) -> int:
    """Return the genes in context: as configured, or all genes of the organism with the fewest."""
    spans = [corpus.genes.span(organism) for organism in corpus.organisms]
    return min(config.max_genes, *(stop - start for start, stop in spans))


def _profiles(corpus: Corpus) -> tuple[list[tuple[str, np.ndarray]], Int[np.ndarray, " shard"]]:
    """Return each distinct list of measured genes, with its organism, and which of them each shard has.

    Thousands of datasets measure the genes of a few references.
    """
    keys = [(shard.organism, shard.header["arrays"]["measured"]["sha256"]) for shard in corpus.shards]
    distinct = dict(zip(keys, corpus.shards, strict=True))
    number = {key: place for place, key in enumerate(distinct)}
    return [(key[0], shard.measured) for key, shard in distinct.items()], np.array([number[key] for key in keys])


@dataclass(frozen=True)
class BatchPlan:
    """The cells of a batch, which of them become meta-cells, and how many neighbors come with each."""

    cells: Int[np.ndarray, " cell"]
    melted: Bool[np.ndarray, " cell"]
    neighbors: int


class BatchLoader:
    """Batches of training cells.

    Parameters
    ----------
    corpus, config
        Where cells come from and how they are drawn.
    batch_size
        Cells of the global batch, all ranks together.
    seed
        Key of all draws, together with the step.
    device
        Where batches are made.
    rank, world
        This process gets the rank-th of `world` equal parts of the global batch.
    threads
        Threads that read ahead in `prefetch`, and ask the disk for windows of coming steps; 0 reads when asked.

    Raises
    ------
    ValueError
        If the batch cannot be divided among the ranks, or the corpus lacks a class or has no cells.
    """

    split = TRAINING

    def __init__(
        self,
        corpus: Corpus,
        config: DataConfig,
        *,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        threads: int = 0,
    ):
        if batch_size % world or not 0 <= rank < world:
            raise ValueError(
                f"batch of {batch_size} cells, rank {rank} of {world}: the batch must divide by the ranks."
            )
        self.corpus = corpus
        self.config = config
        self.labels = corpus.select_labels(config.classes)
        self.batch_size = batch_size
        self.seed = seed
        self.part = slice(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.threads = threads
        self.device = torch.device(device)
        self.selector = RandomExpressedGenes(context_size(config.genes, corpus))
        self.pad = config.genes.pad
        profiles, self._profile_of_shard = _profiles(corpus)
        self.space = GeneSpace.build(corpus.genes, profiles, device=device)
        self.sampler = config.sampling.build(corpus, seed=seed, split=self.split)
        self._class_columns = [CLASSES.index(name) for name in config.classes]
        self._codes, self._code_starts = self._label_codes()

    def batch(self, step: int) -> CellBatch:
        """Return this rank's part of the batch of a step."""
        return self.collate(self.read(step), step)

    def prefetch(self, first_step: int) -> Iterator[CellBatch]:
        """Yield the batches of `first_step` and all steps after it, read ahead by the threads."""
        if self.threads == 0:
            while True:
                yield self.batch(first_step)
                first_step += 1
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="loader")
        window = max(1, WINDOW_ROWS // ((self.part.stop - self.part.start) * (1 + self.config.neighbors.most)))
        try:
            asked = pool.submit(self.ask, range(first_step, first_step + window))
            ahead: deque[Future[RaggedCells]] = deque()
            for step in count(first_step):
                if (step - first_step) % window == 0:
                    asked.result()  # raises what went wrong
                    asked = pool.submit(self.ask, range(step + window, step + 2 * window))
                ahead.append(pool.submit(self.read, step))
                if len(ahead) > 2 * self.threads:
                    yield self.collate(ahead.popleft().result(), step - 2 * self.threads)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def ask(self, steps: Iterable[int]) -> None:
        """Ask the disk for what `read` will need at some steps."""
        plans = [self.plan(step) for step in steps]
        cells = np.concatenate([plan.cells for plan in plans])
        most = np.concatenate([np.where(plan.melted, np.inf, plan.neighbors) for plan in plans])
        ask_for_cells(self.corpus, cells, ("label", "neighbor", "distance") if most.any() else ("label",))
        ask_for_counts(self.corpus, cells)
        if most.any():
            neighbor, _ = self._neighbors(cells)
            used = (np.arange(neighbor.shape[1]) < most[:, None]) & (neighbor >= 0)
            ask_for_counts(self.corpus, neighbor[used])

    def read(self, step: int) -> RaggedCells:
        """Return the cells of this rank's part as they are on the disk."""
        plan = self.plan(step)
        cells, melted, number = plan.cells, plan.melted, plan.neighbors
        shard, row = self.corpus.locate(cells)
        shards = self.corpus.shards
        labels = np.stack([shards[s].label[r] for s, r in zip(shard.tolist(), row.tolist(), strict=True)])
        rows = self.corpus.read(cells)
        neighbors = self.corpus.read(np.empty(0, np.int64))
        distances = np.zeros((len(cells), 0), np.float32)
        if number or melted.any():
            neighbor, distance = self._neighbors(cells)
            rows = self._melt(rows, cells, neighbor, np.flatnonzero(melted))
            place = fill_neighbors(neighbor, number=number)
            known = place >= 0
            distances = np.where(known, np.take_along_axis(distance, place, axis=1), 0).astype(np.float32)
            neighbors = self.corpus.read(np.where(known, np.take_along_axis(neighbor, place, axis=1), -1).reshape(-1))
        return RaggedCells(
            cells=rows,
            neighbors=neighbors,
            neighbor_distances=distances,
            profile=self._profile_of_shard[shard],
            labels=self._encode(shard, labels[:, self._class_columns]),
            space=self.space,
            first=self.part.start,
            total=self.batch_size,
        )

    def collate(self, ragged: RaggedCells, step: int) -> CellBatch:
        """Choose the genes of a step's cells and make the batch on the device."""
        draws = stream(self.seed, step, "genes", device=self.device)
        return self.pad(collate(ragged, selector=self.selector, generator=draws))

    def plan(self, step: int) -> BatchPlan:
        """Draw what this rank's part of a step holds."""
        return BatchPlan(
            self.sampler.draw(step, self.batch_size)[self.part],
            self.config.metacells.draw(generator(self.seed, step, "metacells"), self.batch_size)[self.part],
            self._number_of_neighbors(step),
        )

    def _number_of_neighbors(self, step: int) -> int:
        return self.config.neighbors.draw(generator(self.seed, step, "neighbors"))

    def _label_codes(self) -> tuple[Int[np.ndarray, " code"], Int[np.ndarray, "shard class"]]:
        """Return the code of each shard's terms, unknown first, in one array, and where each shard and class begins."""
        parts = [
            np.concatenate([[-1], table.encode(shard.terms[table.name])])
            for shard in self.corpus.shards
            for table in self.labels.tables
        ]
        starts = np.cumsum([0] + [len(part) for part in parts[:-1]])
        return np.concatenate(parts).astype(np.int64), starts.reshape(len(self.corpus.shards), -1)

    def _encode(
        self, shard: Int[np.ndarray, " cell"], labels: Int[np.ndarray, "cell class"]
    ) -> Int[np.ndarray, "cell class"]:
        """Turn a shard's codes of terms into those of the corpus."""
        return self._codes[self._code_starts[shard] + labels + 1]

    def _neighbors(
        self, cells: Int[np.ndarray, " cell"]
    ) -> tuple[Int[np.ndarray, "cell neighbor"], Float[np.ndarray, "cell neighbor"]]:
        """Return the stored neighbors, as numbers in the corpus (-1 for none), and their distances."""
        shard, row = self.corpus.locate(cells)
        where = list(zip(shard.tolist(), row.tolist(), strict=True))
        neighbor = np.stack([self.corpus.shards[s].neighbor[r] for s, r in where]).astype(np.int64)
        distance = np.stack([self.corpus.shards[s].distance[r] for s, r in where])
        return np.where(neighbor >= 0, neighbor + self.corpus.starts[shard][:, None], -1), distance

    def _melt(
        self,
        rows: Rows,
        cells: Int[np.ndarray, " cell"],
        neighbor: Int[np.ndarray, "cell neighbor"],
        melted: Int[np.ndarray, " melted"],
    ) -> Rows:
        """Replace some cells by meta-cells of the cell and its neighbors."""
        if len(melted) == 0:
            return rows
        genes, counts = (np.split(values, rows.indptr[1:-1]) for values in (rows.gene, rows.count))
        for place in melted:
            members = np.append(cells[place], neighbor[place][neighbor[place] >= 0])
            row = self.config.metacells.melt(self.corpus.read(members), genes=self.space.width)
            genes[place], counts[place] = row.gene, row.count
        indptr = np.concatenate([[0], np.cumsum([len(gene) for gene in genes])])
        return Rows(indptr, np.concatenate(genes), np.concatenate(counts))


class ValidationLoader(BatchLoader):
    """Batches of validation cells: the same ones at every call and for every seed, drawn like training batches at their end.

    The number of neighbors is the largest that training uses.

    Parameters
    ----------
    batches
        Number of batches.
    corpus, config, batch_size, device, rank, world, threads
        As in `BatchLoader`.
    """

    split = VALIDATION

    def __init__(
        self,
        corpus: Corpus,
        config: DataConfig,
        *,
        batches: int,
        batch_size: int,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
        threads: int = 0,
    ):
        super().__init__(
            corpus,
            config,
            batch_size=batch_size,
            seed=VALIDATION_SEED,
            device=device,
            rank=rank,
            world=world,
            threads=threads,
        )
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[CellBatch]:
        return islice(self.prefetch(0), self.batches)

    def _number_of_neighbors(self, step: int) -> int:
        return self.config.neighbors.most
