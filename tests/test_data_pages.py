"""The reports of datasets, chunks and corpora say what is there."""

import re
from collections import Counter
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scprint2 import corpus_page
from scprint2.corpus_page import count_labels, draw_cells, write_corpus_page
from scprint2.data.corpus import Corpus
from scprint2.data.gene_embeddings import gene_embedding
from scprint2.data.leakage import COLUMNS, Ledger
from scprint2.data.preprocess import processed
from scprint2.data.quality_record import write_quality_record
from scprint2.data.registry import Dataset
from scprint2.dataset_page import write_chunk_page, write_dataset_page
from scprint2.files import write_json
from scprint2.plots.quality import label_bars, quality_histograms, reason_bars
from tests.data.builders import HUMAN, MOUSE, small_corpus
from tests.data.raw import SETTINGS, gene_table, raw_cells, write


def text_of(path):
    """What a reader reads, and proof that nothing is loaded from elsewhere."""
    page = path.read_text()
    assert not re.search(r'(src|href)="(?!data:|\.\./|#)', page)
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r'src="data:[^"]+"', "", page.split("<body>")[1])))


def bars(figure, title):
    """Labels and numbers of one panel of bars."""
    (axis,) = (axis for axis in figure.axes if axis.get_title(loc="left") == title)
    numbers = [int(note.get_text().replace(",", "")) for note in axis.texts]
    return dict(zip([tick.get_text() for tick in axis.get_yticklabels()], numbers, strict=True))


def test_the_page_of_a_dataset_counts_cells_by_reason_genes_and_unknown_labels(tmp_path):
    raw = raw_cells(120)
    raw.obs["is_primary_data"] = np.arange(120) >= 7
    raw.obs["disease"] = "a disease of nobody"
    raw.var_names = ["nothing_like_a_gene", *raw.var_names[1:]]
    with processed(
        Dataset("set_a", HUMAN), write(raw, tmp_path), gene_table(), settings=SETTINGS, scratch=None
    ) as cells:
        write_quality_record(cells, tmp_path / "set_a")
        kept = len(cells.obs)
    write_dataset_page(tmp_path / "set_a", tmp_path / "page.html")
    text = text_of(tmp_path / "page.html")
    assert f"{kept} of 120 cells kept, 119 genes" in text
    assert "nothing_like_a_gene" in text
    assert "disease: 120 cells: ['a disease of nobody']" in text
    assert "No mitochondrial gene was measured" in text
    write_dataset_page(tmp_path / "set_a", tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "page.html").read_bytes()


def test_the_page_of_a_chunk_names_what_failed_and_why(tmp_path):
    report = {
        "good": {"status": "done", "qc": {"cells_read": 12_345, "cells_kept": 12_000}},
        "bad": {"status": "failed", "reason": "bad.h5ad: <truncated>"},
    }
    write_chunk_page(report, tmp_path / "page.html", links={"good": "../good.html"})
    text = text_of(tmp_path / "page.html")
    assert "2 datasets, 1 failed" in text
    assert "bad.h5ad: <truncated>" in text
    assert '<a href="../good.html">good</a>' in (tmp_path / "page.html").read_text()


def test_bars_carry_the_numbers_that_they_show():
    counts = {"kept": 90, "too few genes": 10, "outliers": 0}
    assert bars(reason_bars(counts), "cells") == counts
    many = pd.Series({f"label {number:02d}": 100 - number for number in range(20)} | {"unknown": 7})
    found = bars(label_bars({"cell type": many}), "cell type")
    assert list(found)[:2] == ["label 00", "label 01"]
    assert (found["5 more"], found["unknown"], sum(found.values())) == (sum(range(81, 86)), 7, many.sum())


def test_histograms_hold_every_cell_before_and_after():
    rng = np.random.default_rng(0)
    read = pd.DataFrame({"genes": rng.integers(0, 900, 300), "depth": rng.integers(0, 9000, 300), "mitochondrial": 0})
    read["reason"] = np.where(read["genes"] < 100, "few_genes", "kept")
    figure = quality_histograms(read, mitochondrial_known=True)
    assert len(figure.axes) == 3
    for axis in figure.axes:
        heights = np.array([patch.get_height() for patch in axis.patches])
        assert (heights[:59].sum(), heights[59:].sum()) == (300, (read["reason"] == "kept").sum())


@pytest.fixture
def corpus(tmp_path):
    return small_corpus(tmp_path / "shards")


def test_labels_are_counted_from_the_strata_as_from_the_cells(corpus):
    for name in ("cell_type", "sex", "disease"):
        terms = Counter()
        for shard in corpus.shards:
            codes = np.asarray(shard.label)[:, shard.header["classes"].index(name)]
            terms.update((*shard.terms[name], "unknown")[code] for code in codes)
        assert count_labels(corpus.shards, name) == dict(terms)


def test_drawn_cells_lie_at_the_weighted_mean_of_their_genes_vectors(corpus, monkeypatch):
    monkeypatch.setattr(corpus_page, "DRAWN_CELLS", 60)
    monkeypatch.setattr(corpus_page, "LEAST_CELLS", 40)
    drawn = draw_cells(corpus, vectors=None, seed=0)
    assert (drawn.organism == "Mus musculus").sum() == (drawn.organism == "Homo sapiens").sum() == 40
    vectors = gene_embedding(corpus.genes, table=None, dim=256, seed=0).values
    possible = []
    for shard in corpus.shards:
        if shard.organism == MOUSE:
            counts = shard.counts().toarray().astype(float)
            expression = np.log1p(counts * 10_000 / counts.sum(axis=1, keepdims=True))
            start, stop = corpus.genes.span(MOUSE)
            possible.append(expression @ vectors[start:stop] / expression.sum(axis=1, keepdims=True))
    possible = np.concatenate(possible)
    for position in drawn.position[drawn.organism == "Mus musculus"][:5]:
        assert np.abs(possible - position).max(axis=1).min() < 1e-6


def test_drawn_cells_are_those_of_a_plain_draw_among_all_cells_of_each_organism(corpus, monkeypatch):
    monkeypatch.setattr(corpus_page, "DRAWN_CELLS", 300)
    shards = [corpus.shards[number] for number in (0, 2, 1, 3)]  # organisms take turns
    mixed = replace(corpus, shards=tuple(shards))
    asked, read = [], Corpus.read
    monkeypatch.setattr(Corpus, "read", lambda self, cells: asked.append(cells) or read(self, cells))
    draw_cells(mixed, vectors=None, seed=3)
    rng, plain = np.random.default_rng(3), []
    for organism in mixed.organisms:
        of_it = [shard.organism == organism for shard in shards]
        cells = np.flatnonzero(np.repeat(of_it, [len(shard) for shard in shards]))
        wanted = max(corpus_page.LEAST_CELLS, round(300 * len(cells) / len(mixed)))
        plain.append(np.sort(rng.choice(cells, min(wanted, len(cells)), replace=False)))
    assert np.array_equal(asked[0], np.concatenate(plain))


def write_page(corpus, folder: Path) -> str:
    """Write the page of a corpus as the workflow does; return its text."""
    corpus.save(folder / "small.json")
    members = {
        "members": [],
        "duplicates": [{"dataset": "human_1", "of": "human_0", "cells": 1234}],
        "compared_genes": 50,
        "failed": {"human_9": "human_9.h5ad: is truncated"},
    }
    write_json(folder / "members.json", members)
    write_corpus_page(
        folder / "small.json", folder / "members.json", folder / "page.html", figures=folder, vectors=None
    )
    return text_of(folder / "page.html")


def test_the_page_of_a_corpus_lists_datasets_duplicates_and_failures(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_page, "_umap", lambda position: position[:, :2])
    text = write_page(corpus, tmp_path)
    assert "1,240 cells of 4 datasets and 2 organisms" in text
    assert "1,234 duplicates left out, 1 datasets failed" in text
    assert "human_9: human_9.h5ad: is truncated" in text
    assert "built without a comparison with test sets" in text
    drawn = pd.read_csv(tmp_path / "small_organisms.csv")
    assert set(drawn["organism"]) == {"Homo sapiens", "Mus musculus"}


def test_the_page_of_a_corpus_names_what_it_shares_with_test_sets(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_page, "_umap", lambda position: position[:, :2])
    first = ("lung", 900, 880)
    overlaps = [
        (*first, "cell", "human_0", 17, 18, "rows 3, 5 of its file"),
        (*first, "donor_name", "human_1", 200, 0, "P1"),
    ]
    ledger = Ledger(pd.DataFrame(overlaps, columns=pd.Index(COLUMNS)), pd.DataFrame())
    text = write_page(replace(corpus, leakage=ledger.enforce("report", corpus="small")), tmp_path)
    assert "at least 50 genes: 1 leaks" in text
    assert "rows 3, 5 of its file" in text
    assert "donor_name" in text
