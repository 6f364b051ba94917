"""The leakage ledger: what the shards of a corpus share with the test sets, by dataset, donor and the counts of every cell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import anndata
import numpy as np
import pandas as pd
import scipy.sparse
from jaxtyping import Bool, Int, Shaped, UInt

from scprint2.data.shard import Shard, hash_rows
from scprint2.files import atomic_path

if TYPE_CHECKING:
    from scprint2.data.genes import GeneTable

Policy = Literal["refuse", "report"]

COMPARED_GENES = 50  # cells with fewer expressed genes can be equal by chance, so that they prove no leak
LEAKS = ("dataset", "cell", "donor")  # what a corpus must not share with a test set
# A name that may be another person's; another dataset of one study; nothing shared at all.
ALIKE, STUDY, CLEAN = "donor_name", "study", "none"
UNNAMED = {"", "na", "nan", "unknown", "pooled"}  # CELLxGENE's words for "not one known donor"
COLUMNS = ["test_set", "test_cells", "compared_cells", "kind", "dataset", "shared_cells", "corpus_cells", "examples"]
EXAMPLES, LISTED = 5, 20  # of one overlap; overlaps in a message
BLOCK = 1 << 20  # cells whose hashes are looked up at a time


@dataclass(frozen=True)
class Source:
    """Where a dataset comes from, as the registry says; empty where it does not.

    Attributes
    ----------
    file
        Name of the file: two datasets of one file are one dataset, unless they take different subsets of it.
    subset
        Which cells of the file.
    collection
        The study. Donor ids name a person inside one study only.
    """

    file: str = ""
    subset: str = ""
    collection: str = ""

    def is_same_dataset(self, other: "Source") -> bool:
        """Tell whether both are cut out of one file and can hold the same cells."""
        overlapping = self.subset == other.subset or not (self.subset and other.subset)
        return bool(self.file) and self.file == other.file and overlapping

    def is_same_collection(self, other: "Source") -> bool:
        """Tell whether both are known to come from one study."""
        return bool(self.collection) and self.collection == other.collection


@dataclass(frozen=True)
class EvaluationSet:
    """What identifies the cells of a test set.

    Attributes
    ----------
    cells, donor
        Id and donor of each cell; a donor in `UNNAMED` says nothing.
    hash, comparable
        Hash of its counts, and whether it expresses enough genes for equal counts to prove anything.
    """

    name: str
    organism: str
    cells: Shaped[np.ndarray, " cell"]
    donor: Shaped[np.ndarray, " cell"]
    hash: UInt[np.ndarray, " cell"]
    comparable: Bool[np.ndarray, " cell"]

    @cached_property
    def donors(self) -> frozenset[str]:
        """The donors that are named."""
        return frozenset(self.donor.tolist()) - UNNAMED

    @classmethod
    def read(cls, path: str | Path, tables: Mapping[str, "GeneTable"]) -> "EvaluationSet":
        """Read a processed h5ad file block by block; without a gene table of its organism no cell can be compared."""
        test = anndata.read_h5ad(path, backed="r")
        try:
            name, organism = (str(test.uns["scprint2"][key]) for key in ("dataset", "organism"))
            obs = pd.DataFrame(test.obs)
            donor = obs["donor_id"].astype(str) if "donor_id" in obs else pd.Series("", index=obs.index)
            hashes, comparable = np.zeros(len(obs), np.uint64), np.zeros(len(obs), bool)
            if organism in tables:
                genes = pd.Index(tables[organism].frame["gene_id"]).get_indexer(test.var_names)
                for start in range(0, len(obs), BLOCK // 16):
                    rows = slice(start, start + BLOCK // 16)
                    hashes[rows], comparable[rows] = _hash_counts(scipy.sparse.csr_matrix(test.X[rows]), genes)  # pyright: ignore[reportArgumentType, reportOptionalSubscript]
        finally:
            test.file.close()
        return cls(name, organism, np.array(obs.index, dtype=str), donor.to_numpy(dtype=str), hashes, comparable)


@dataclass(frozen=True)
class Ledger:
    """What was compared and found.

    Attributes
    ----------
    rows
        One row per test set, corpus dataset and kind of overlap: `dataset`, `cell` and `donor` are leaks; `donor_name` is a
        name that occurs in two studies, or in studies that the registry does not tell apart; `study` is another dataset of the
        test set's study, which may hold its donors, or its cells counted again, under other names. A test set that shares
        nothing has one row of the kind `none`. `shared_cells` counts cells of the test set, `corpus_cells` those of the corpus
        dataset; of a `study` no shared cell is known.
    seen
        The test cells behind the leaks: `dataset` and `cell`.
    """

    rows: pd.DataFrame
    seen: pd.DataFrame

    @property
    def leaks(self) -> pd.DataFrame:
        """The rows for which a corpus is refused."""
        return pd.DataFrame(self.rows[self.rows["kind"].isin(LEAKS)])

    def enforce(self, policy: Policy, *, corpus: str) -> dict[str, Any]:
        """Return what the corpus' manifest says about leakage.

        Raises
        ------
        ValueError
            If there is a leak and the policy is to refuse it.
        """
        if policy == "refuse" and len(self.leaks):
            lines = "\n".join(
                f"  test set {row['test_set']!r}, {row['kind']}: {row['shared_cells']} of its {row['test_cells']} cells, by "
                f"{row['dataset']!r} ({row['examples']})"
                for row in self.leaks.head(LISTED).to_dict("records")
            )
            raise ValueError(
                f"corpus {corpus!r} shares what it must not with test sets ({len(self.leaks)} overlaps):\n{lines}\nTake one of "
                "the two out, or split a file with `subset` in the registry. With `leakage: report` in config/config.yaml the "
                "corpus is built all the same, and scores are also given for seen and unseen cells apart."
            )
        return {"policy": policy, "compared_genes": COMPARED_GENES, "overlaps": self.rows.to_dict("records")}

    def write(self, *, rows: str | Path, seen: str | Path) -> None:
        """Write both tables as TSV."""
        for table, target in ((self.rows, rows), (self.seen, seen)):
            with atomic_path(target) as path:
                table.to_csv(path, sep="\t", index=False)

    @classmethod
    def read(cls, *, rows: str | Path, seen: str | Path) -> "Ledger":
        """Read what `write` wrote."""
        return cls(pd.read_csv(rows, sep="\t", keep_default_na=False), read_seen(seen))


def read_seen(path: str | Path) -> pd.DataFrame:
    """Read the test cells that a corpus holds: `dataset` and `cell`."""
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def compare_with_test_sets(
    shards: Iterable[Shard],
    gene_tables: Iterable["GeneTable"],
    test_sets: Iterable[str | Path],
    *,
    sources: Mapping[str, Source],
) -> Ledger:
    """Compare the shards of a corpus with processed test sets (h5ad).

    Memory is that of the test sets' ids and hashes; the hashes of the corpus are read once, block by block.

    Parameters
    ----------
    gene_tables
        Of the organisms of the shards; test sets of other organisms share no cell.
    sources
        Dataset name to its source, for corpus and test datasets; a name that is missing has an unknown source.
    """
    tables = {table.organism: table for table in gene_tables}
    tests = [EvaluationSet.read(path, tables) for path in test_sets]
    organisms = {test.organism for test in tests}
    lookups = {organism: HashLookup.build([t for t in tests if t.organism == organism]) for organism in organisms}
    found: list[dict[str, Any]] = []
    seen: dict[str, np.ndarray] = {test.name: np.zeros(len(test.cells), bool) for test in tests}
    for shard in shards:
        hits = lookups[shard.organism].find(shard.hash) if shard.organism in lookups else None
        for test in tests:
            for kind, mask, corpus_cells, examples in _overlaps(shard, test, hits, sources):
                seen[test.name] |= mask & (kind in LEAKS)
                found.append(_row(test, kind, shard.dataset, (int(mask.sum()), corpus_cells, examples)))
    clean = [test for test in tests if test.name not in {row["test_set"] for row in found}]
    found += [_row(test, CLEAN, "", (0, 0, "")) for test in clean]
    rows = pd.DataFrame(found, columns=pd.Index(COLUMNS)).sort_values(["test_set", "kind", "dataset"], kind="stable")
    cells = [pd.DataFrame({"dataset": test.name, "cell": test.cells[seen[test.name]]}) for test in tests]
    return Ledger(
        rows.reset_index(drop=True),
        pd.concat(cells, ignore_index=True) if cells else pd.DataFrame({"dataset": [], "cell": []}),
    )


@dataclass(frozen=True)
class Hits:
    """Hashes that a shard shares with test sets, and the rows of the shard that have them."""

    hash: UInt[np.ndarray, " hit"]
    row: Int[np.ndarray, " hit"]


@dataclass(frozen=True)
class HashLookup:
    """The comparable hashes of some test sets: sorted, and a table of their first 16 bits that turns most others away."""

    hash: UInt[np.ndarray, " hash"]
    prefix: Bool[np.ndarray, " prefix"]

    @classmethod
    def build(cls, tests: Sequence[EvaluationSet]) -> "HashLookup":
        """Sort the hashes of all comparable cells."""
        hashes = np.unique(np.concatenate([test.hash[test.comparable] for test in tests]))
        prefix = np.zeros(1 << 16, bool)
        prefix[hashes >> np.uint64(48)] = True
        return cls(hashes, prefix)

    def find(self, hashes: UInt[np.ndarray, " cell"]) -> Hits:
        """Return which of a shard's hashes are among these."""
        rows = [np.empty(0, np.int64)]
        if len(self.hash):
            for start in range(0, len(hashes), BLOCK):
                block = hashes[start : start + BLOCK]
                candidate = np.flatnonzero(self.prefix[block >> np.uint64(48)])
                place = np.minimum(np.searchsorted(self.hash, block[candidate]), len(self.hash) - 1)
                rows.append(start + candidate[self.hash[place] == block[candidate]])
        row = np.concatenate(rows)
        return Hits(np.asarray(hashes[row]), row)


def _overlaps(
    shard: Shard, test: EvaluationSet, hits: Hits | None, sources: Mapping[str, Source]
) -> Iterator[tuple[str, np.ndarray, int, str]]:
    """Yield each kind of overlap: which test cells, how many corpus cells (0 where not counted), and examples."""
    theirs, ours = sources.get(test.name, Source()), sources.get(shard.dataset, Source())
    if shard.dataset == test.name or theirs.is_same_dataset(ours):
        yield "dataset", np.ones(len(test.cells), bool), len(shard), ours.file or shard.dataset
    if shard.organism != test.organism:
        return
    if ours.is_same_collection(theirs):
        yield STUDY, np.zeros(len(test.cells), bool), len(shard), ours.collection
    if hits is not None and len(hits.row):
        mask = test.comparable & np.isin(test.hash, hits.hash)
        if mask.any():
            rows = hits.row[np.isin(hits.hash, test.hash[mask])]
            examples = ", ".join(map(str, np.sort(shard.source[rows])[:EXAMPLES].tolist()))
            yield "cell", mask, len(rows), f"rows {examples} of its file"
    if donors := sorted(test.donors.intersection(shard.header["donors"])):
        kind = "donor" if ours.is_same_collection(theirs) else ALIKE
        more = f" and {len(donors) - EXAMPLES} more" if len(donors) > EXAMPLES else ""
        yield kind, np.isin(test.donor, donors), 0, ", ".join(donors[:EXAMPLES]) + more


def _row(test: EvaluationSet, kind: str, dataset: str, rest: tuple[int, int, str]) -> dict[str, Any]:
    first = (test.name, len(test.cells), int(test.comparable.sum()), kind, dataset)
    return dict(zip(COLUMNS, (*first, *rest), strict=True))


def _hash_counts(
    counts: scipy.sparse.csr_matrix, genes: Int[np.ndarray, " column"]
) -> tuple[UInt[np.ndarray, " cell"], Bool[np.ndarray, " cell"]]:
    """Hash cells on the genes that the table has; tell which express enough of them."""
    known = scipy.sparse.csr_matrix(counts[:, np.flatnonzero(genes >= 0)])
    known.eliminate_zeros()
    hashes = hash_rows(known.indptr, genes[genes >= 0][known.indices], known.data)
    return hashes, np.diff(known.indptr) >= COMPARED_GENES
