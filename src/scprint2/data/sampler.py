"""Which cells a batch holds: weighted random draws with replacement, a pure function of (seed, step).

Cells are stored sorted by stratum and level of non-zero genes, so that a draw needs tables of strata only, never one of cells:
first a group, then one of its blocks (a stratum at a level), then a cell of the block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, field_validator

from scprint2.config.node import Node
from scprint2.data.corpus import Corpus
from scprint2.data.shard import TRAINING, VALIDATION, Shard
from scprint2.data.vocabulary import CLASSES

CLUSTERS = ("cluster", "cell_type_cluster")  # what cells can be grouped by beside their labels
CURRICULUM_STAGES = 1000  # a growing saturation changes at most this often: group weights are computed at each change
FEISTEL_ROUNDS = 6
PURPOSES = {"cells": 0, "neighbors": 1, "metacells": 2}  # separate streams of random numbers of one step


class ConstantSaturation(Node):
    """S1 of "Weighted sampling" stays the same."""

    kind: Literal["constant"]
    value: float = Field(gt=0)

    def at(self, step: int) -> float:
        """Return S1 at a step."""
        return self.value

    @property
    def final(self) -> float:
        """S1 at the end."""
        return self.value


class CurriculumSaturation(Node):
    """S1 grows linearly from `start` to `stop` over the first `steps` steps, in at most 1,000 stages. D21.

    Source: Methods, "Database and sampling".
    """

    kind: Literal["curriculum"]
    start: float = Field(gt=0)
    stop: float = Field(gt=0)
    steps: int = Field(ge=1)

    def at(self, step: int) -> float:
        """Return S1 at a step."""
        stage = min(step, self.steps) * CURRICULUM_STAGES // self.steps
        return self.start + (self.stop - self.start) * stage / CURRICULUM_STAGES

    @property
    def final(self) -> float:
        """S1 at the end."""
        return self.stop


class NoDepth(Node):
    """Cells of a group are equally likely."""

    kind: Literal["none"]


class SigmoidDepth(Node):
    """A cell's weight grows with its non-zero genes: 1 + (scale - 1) · sigmoid(steepness · (nnz - midpoint)).

    Source: Methods, "Depth-weighted sampling", algorithm `scale_nnz`.
    """

    kind: Literal["sigmoid"]
    midpoint: float = Field(ge=0)
    steepness: float = Field(gt=0)
    scale: float = Field(ge=1)

    def weight(self, nnz: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the weight of cells with `nnz` non-zero genes."""
        return 1 + (self.scale - 1) / (1 + np.exp(-self.steepness * (nnz - self.midpoint)))


class GroupedSampling(Node):
    """With replacement; a cell in a group of c cells has weight S1 / (c + S1), times its depth weight.

    Groups are the distinct tuples of what `groups` names: label classes, `cluster`, `cell_type_cluster`. They span datasets.

    Source: Methods, "Weighted sampling", "Cluster-weighted sampling", "Depth-weighted sampling".
    """

    kind: Literal["grouped"]
    groups: tuple[str, ...] = Field(min_length=1)
    saturation: Annotated[ConstantSaturation | CurriculumSaturation, Field(discriminator="kind")]
    depth: Annotated[NoDepth | SigmoidDepth, Field(discriminator="kind")]

    @field_validator("groups")
    @classmethod
    def _known(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        known = (*CLASSES, *CLUSTERS)
        unknown = [name for name in groups if name not in known]
        if unknown or len(set(groups)) < len(groups):
            raise ValueError(f"groups {list(groups)}: each name once, out of {list(known)}")
        return groups

    def build(self, corpus: Corpus, *, seed: int, split: int) -> "GroupSampler":
        """Make the sampler of a split; validation draws as training does at its end."""
        end = ConstantSaturation(kind="constant", value=self.saturation.final)
        saturation = self.saturation if split == TRAINING else end
        return GroupSampler(corpus, groups=self.groups, saturation=saturation, depth=self.depth, seed=seed, split=split)


class ShuffledSampling(Node):
    """Without replacement and without weights: all cells in a random order, then all again in another one.

    Source: "Additive benchmark", "sampling without replacement".
    """

    kind: Literal["shuffled"]

    def build(self, corpus: Corpus, *, seed: int, split: int) -> "ShuffledSampler":
        """Make the sampler of a split."""
        return ShuffledSampler(corpus, seed=seed, split=split)


SamplingConfig = Annotated[GroupedSampling | ShuffledSampling, Field(discriminator="kind")]


@dataclass(frozen=True)
class Blocks:
    """Runs of cells that are equally likely, sorted by group.

    Attributes
    ----------
    first, cells
        First cell (its number in the corpus) and number of cells of each block.
    cumulative
        Sum of the depth weights of the cells of all blocks up to and including this one.
    group_block
        Where each group's blocks begin; one more at the end.
    group_cells
        Cells of each group.
    """

    first: Int[np.ndarray, " block"]
    cells: Int[np.ndarray, " block"]
    cumulative: Float[np.ndarray, " block"]
    group_block: Int[np.ndarray, " boundary"]
    group_cells: Float[np.ndarray, " group"]

    @classmethod
    def build(
        cls,
        group: Int[np.ndarray, " block"],
        first: Int[np.ndarray, " block"],
        cells: Int[np.ndarray, " block"],
        *,
        weight: Float[np.ndarray, " block"] | None,
    ) -> "Blocks":
        """Sort blocks by group; `weight` is the depth weight of a cell of each block, None where all are 1."""
        order = np.argsort(group, kind="stable")
        order = order[cells[order] > 0]
        group, cells = group[order], cells[order]
        used, group_block = np.unique(group, return_index=True)
        small = np.int64 if first.max(initial=0) >= 2**31 else np.int32
        return cls(
            first=first[order].astype(small),
            cells=cells.astype(np.int32),
            cumulative=np.cumsum(cells if weight is None else cells * weight[order], dtype=np.float64),
            group_block=np.append(group_block, len(order)),
            group_cells=np.add.reduceat(cells, group_block, dtype=np.float64) if len(used) else np.empty(0),
        )

    @cached_property
    def group_bounds(self) -> Float[np.ndarray, " boundary"]:
        """Value of `cumulative` before each group's first block, and at the end."""
        return np.append(0.0, self.cumulative[self.group_block[1:] - 1])

    def group_weights(self, saturation: float) -> Float[np.ndarray, " group"]:
        """Return the sum of the weights of each group's cells."""
        return np.diff(self.group_bounds) * (saturation / (self.group_cells + saturation))

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        arrays = (self.first, self.cells, self.cumulative, self.group_block, self.group_cells, self.group_bounds)
        return sum(array.nbytes for array in arrays)


class BlockSampler:
    """Draws cells out of blocks."""

    def __init__(self, blocks: Blocks, *, saturation: ConstantSaturation | CurriculumSaturation, seed: int):
        self.blocks = blocks
        self.saturation = saturation
        self.seed = seed
        self._weights: tuple[float, np.ndarray] = (
            0.0,
            np.empty(0),
        )  # of the last saturation: replaced as one, so thread-safe

    def cumulative_group_weights(self, saturation: float) -> Float[np.ndarray, " group"]:
        """Return the running sum of the group weights, which is what a new saturation costs."""
        known, weights = self._weights
        if known != saturation:
            weights = np.cumsum(self.blocks.group_weights(saturation))
            self._weights = (saturation, weights)
        return weights

    def draw(self, step: int, size: int) -> Int[np.ndarray, " cell"]:
        """Return the cells of a step, as numbers in the corpus: a pure function of (seed, step)."""
        blocks = self.blocks
        where, within, offset = generator(self.seed, step, "cells").random((3, size))
        weights = self.cumulative_group_weights(self.saturation.at(step))
        group = np.minimum(np.searchsorted(weights, where * weights[-1], side="right"), len(weights) - 1)
        low, high = blocks.group_bounds[group], blocks.group_bounds[group + 1]
        first, last = blocks.group_block[group], blocks.group_block[group + 1] - 1
        block = search_between(blocks.cumulative, low + within * (high - low), first=first, last=last)
        cells = blocks.cells[block]
        return blocks.first[block] + np.minimum((offset * cells).astype(np.int64), cells - 1)


def search_between(
    values: Float[np.ndarray, " value"],
    targets: Float[np.ndarray, " target"],
    *,
    first: Int[np.ndarray, " target"],
    last: Int[np.ndarray, " target"],
) -> Int[np.ndarray, " target"]:
    """Return for each target the first place from `first` to `last` whose value is above it; `last` where none is.

    As `searchsorted` in all values, clipped to these places, but a group has tens of blocks and a corpus millions: fewer steps,
    and each target stays within one or two pages of memory.
    """
    for _ in range(int((last - first).max(initial=0)).bit_length()):
        middle = (first + last) >> 1
        above = values[middle] > targets
        first, last = np.where(above, first, np.minimum(middle + 1, last)), np.where(above, middle, last)
    return first


class GroupSampler(BlockSampler):
    """Draws cells of one split of a corpus.

    Raises
    ------
    ValueError
        If the split has no cells.
    """

    def __init__(
        self,
        corpus: Corpus,
        *,
        groups: Sequence[str],
        saturation: ConstantSaturation | CurriculumSaturation,
        depth: NoDepth | SigmoidDepth,
        seed: int,
        split: int = TRAINING,
    ):
        super().__init__(_corpus_blocks(corpus, groups, depth, split), saturation=saturation, seed=seed)


class ShuffledSampler:
    """Draws every cell of one split of a corpus once before any is drawn again.

    Raises
    ------
    ValueError
        If the split has no cells.
    """

    def __init__(self, corpus: Corpus, *, seed: int, split: int = TRAINING):
        self.blocks = _corpus_blocks(corpus, ("organism",), NoDepth(kind="none"), split)
        self.cells = int(self.blocks.cumulative[-1])
        self.seed = seed

    def draw(self, step: int, size: int) -> Int[np.ndarray, " cell"]:
        """Return the cells of a step, as numbers in the corpus: a pure function of (seed, step)."""
        number = step * size + np.arange(size)
        place = np.empty(size, dtype=np.int64)
        for epoch in np.unique(number // self.cells):
            now = number // self.cells == epoch
            place[now] = permute(number[now] % self.cells, size=self.cells, key=(self.seed, int(epoch)))
        block = np.searchsorted(self.blocks.cumulative, place, side="right")
        before = self.blocks.cumulative[block].astype(np.int64) - self.blocks.cells[block]
        return self.blocks.first[block] + place - before


def permute(numbers: Int[np.ndarray, " number"], *, size: int, key: tuple[int, int]) -> Int[np.ndarray, " number"]:
    """Where numbers of 0 … size - 1 stand in a random order of them that is never held in memory.

    A Feistel network permutes the next power of four; what falls beyond `size` is permuted again until it falls inside.

    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking.
    """
    half = np.uint64(max(1, (int(size - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))).integers(
        2**63, size=FEISTEL_ROUNDS, dtype=np.uint64
    )
    result = numbers.astype(np.uint64)
    outside = np.ones(len(result), dtype=bool)
    while outside.any():
        left, right = result[outside] >> half, result[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (_scramble(right ^ round_key) & mask)
        result[outside] = (left << half) | right
        outside = result >= size
    return result.astype(np.int64)


def _scramble(values: np.ndarray) -> np.ndarray:
    """Mix the bits of 64-bit numbers (the finalizer of splitmix64; Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def generator(seed: int, step: int, purpose: str) -> np.random.Generator:
    """Return the random numbers of one purpose at one step; steps and purposes do not share any."""
    key = np.array([seed, (PURPOSES[purpose] << 56) + step], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _corpus_blocks(corpus: Corpus, groups: Sequence[str], depth: NoDepth | SigmoidDepth, split: int) -> Blocks:
    """Return the blocks of one split; without depth weights all levels of a stratum are one block."""
    codes: dict[str, dict[str, int]] = {name: {} for name in groups}
    keys, first, cells, weights = [], [], [], []
    for start, shard in zip(corpus.starts[:-1], corpus.shards, strict=True):
        table = shard.stratum_cells.astype(np.int64)
        begin = start + np.cumsum(table).reshape(table.shape) - table
        levels = table.shape[2]
        key = np.stack([_codes(shard, name, codes[name]) for name in groups], axis=1)
        if isinstance(depth, SigmoidDepth):
            keys.append(np.repeat(key, levels, axis=0))
            first.append(begin[split].reshape(-1))
            cells.append(table[split].reshape(-1))
            weights.append(np.tile(depth.weight(np.array(shard.header["level_nnz"])), len(key)))
        else:
            keys.append(key)
            first.append(begin[split, :, 0])
            cells.append(table[split].sum(axis=1))
    group = np.unique(np.concatenate(keys), axis=0, return_inverse=True)[1].reshape(-1)
    weight = np.concatenate(weights) if weights else None
    if sum(int(part.sum()) for part in cells) == 0:
        what = "validation" if split == VALIDATION else "training"
        raise ValueError(f"corpus {corpus.name!r} has no cells for {what}: raise its size or its validation share.")
    return Blocks.build(group, np.concatenate(first), np.concatenate(cells), weight=weight)


def _codes(shard: Shard, name: str, codes: dict[str, int]) -> Int[np.ndarray, " stratum"]:
    """Return the code of what each stratum has for `name`, the same in all shards; unknown is a value like any other."""
    if name in CLUSTERS:
        texts, local = shard.header[f"{name}s"], getattr(shard, f"stratum_{name}")
    else:
        texts, local = [*shard.terms[name], "unknown"], shard.stratum_label[:, CLASSES.index(name)]
    common = np.array([codes.setdefault(text, len(codes)) for text in texts])
    return common[local]
