"""The report of one dataset's preprocessing, and the list of the reports of a chunk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from scprint2.data.ontology import UNKNOWN_TERM, label
from scprint2.data.quality import KEPT, REASONS
from scprint2.data.vocabulary import CLASSES
from scprint2.files import read_json
from scprint2.pages import Page
from scprint2.plots.embedding import draw_map, embedding_panels
from scprint2.plots.quality import label_bars, quality_histograms, reason_bars

EXPLAINED = {
    KEPT: "kept",
    "not_primary": "copy of a cell in another dataset (is_primary_data)",
    "few_genes": "too few genes",
    "duplicates": "same counts as an earlier cell",
    "outliers": "outlier in depth, genes or share of the top genes",
}
MOST_EXAMPLES = 8


def write_dataset_page(folder: str | Path, target: str | Path) -> None:
    """Write the report of a dataset from what preprocessing left in its folder (`write_quality_record`)."""
    folder = Path(folder)
    record = read_json(folder / "qc.json")
    read, drawn = (pd.read_parquet(folder / f"{name}.parquet") for name in ("read", "drawn"))
    genes = pd.read_csv(folder / "genes.tsv", sep="\t", keep_default_na=False)
    quality = record["qc"]
    page = Page(
        record["dataset"],
        f"{label(record['organism'])}: {quality['cells_kept']:,} of {quality['cells_read']:,} cells kept, "
        f"{quality['genes_kept']:,} genes; counts from {record['counts_place']}",
    )
    _describe_cells(page, read, quality)
    _describe_genes(page, genes, quality)
    _describe_labels(page, drawn, record)
    _draw_cells(page, drawn)
    page.write(target)


def write_chunk_page(report: Mapping[str, Mapping[str, Any]], target: str | Path, *, links: Mapping[str, str]) -> None:
    """Write the list of a chunk's datasets; `links` lead from their names to their reports."""
    rows = [
        {
            "dataset": name,
            "status": entry["status"],
            "cells read": entry["qc"]["cells_read"] if "qc" in entry else "",
            "cells kept": entry["qc"]["cells_kept"] if "qc" in entry else "",
            "reason": entry.get("reason", ""),
        }
        for name, entry in report.items()
    ]
    failed = sum(entry["status"] == "failed" for entry in report.values())
    page = Page("Datasets of a chunk", f"{len(report)} datasets, {failed} failed")
    page.table(pd.DataFrame(rows), links=links)
    page.write(target)


def _describe_cells(page: Page, read: pd.DataFrame, quality: Mapping[str, int]) -> None:
    page.heading("Cells")
    counts = dict(read["reason"].value_counts())
    page.figure(
        reason_bars({EXPLAINED[name]: int(counts.get(name, 0)) for name in (KEPT, *REASONS)}),
        alternative="cells kept and dropped by reason",
    )
    page.text(
        f"A cell needed {quality['minimum_genes']} genes. Each dropped cell counts once, for the first reason that applies."
    )
    known = quality["genes_mitochondrial"] > 0
    page.figure(quality_histograms(read, mitochondrial_known=known), alternative="counts and genes per cell")
    if known:
        page.text(
            f"{quality['genes_mitochondrial']} mitochondrial genes were measured. No cell is dropped for their share."
        )
    else:
        page.text("No mitochondrial gene was measured, so their share is not known.")


def _describe_genes(page: Page, genes: pd.DataFrame, quality: Mapping[str, int]) -> None:
    page.heading("Gene names")
    meaning = {
        "mapped": "found in the gene table",
        "ambiguous": "name of several genes, not used",
        "dropped": "id of this organism, not of a protein-coding gene",
        "unknown": "not found",
    }
    rows = []
    for status, text in meaning.items():
        names = genes.loc[genes["status"] == status, "name"].astype(str)
        examples = ", ".join(names[:MOST_EXAMPLES])
        rows.append({"status": status, "names": len(names), "meaning": text, "such as": examples})
    page.table(pd.DataFrame(rows))
    by = genes.loc[genes["status"] == "mapped", "by"].value_counts()
    found = ", ".join(f"{name} {count:,}" for name, count in by.items())
    page.text(
        f"Found by: {found}. {quality['genes_merged']:,} names share their gene with another one; their counts are summed."
    )


def _describe_labels(page: Page, drawn: pd.DataFrame, record: Mapping[str, Any]) -> None:
    page.heading("Labels")
    named = {
        name.replace("_", " "): _named(pd.Series(drawn[f"{name}_ontology_term_id"])).value_counts() for name in CLASSES
    }
    page.figure(label_bars(named), alternative="cells per label")
    page.text(f"Counted in {len(drawn):,} kept cells, drawn at random where there are more.")
    if record["unknown_labels"]:
        page.text("Labels that could not be used and became unknown:")
        page.items([f"{name}: {text}" for name, text in record["unknown_labels"].items()])


def _draw_cells(page: Page, drawn: pd.DataFrame) -> None:
    if len(drawn) < 5:
        page.text("Too few cells for a picture of them.")
        return
    page.heading("Cells as they lie")
    components = drawn[[name for name in drawn.columns if name.startswith("component_")]].to_numpy()
    rows, places = draw_map(components, seed=0)
    groups = {
        "cluster": drawn["cluster"],
        "cell type": _named(pd.Series(drawn["cell_type_ontology_term_id"])),
        "batch": drawn["batch"],
    }
    values = {name: group.astype(str).to_numpy()[rows] for name, group in groups.items()}
    clusters = drawn["cluster"].nunique()
    page.figure(
        embedding_panels(places, values, title=f"{len(rows):,} cells, {clusters} clusters"),
        alternative="map of the cells",
    )


def _named(terms: pd.Series) -> pd.Series:
    names = {term: UNKNOWN_TERM if term == UNKNOWN_TERM else label(term) for term in terms.unique()}
    return terms.map(names)
