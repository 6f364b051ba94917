"""What the notebooks of the gymnasium show: predictions with their scores, laid out for the figures."""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Bool, Float, Num, Shaped
from matplotlib.figure import Figure

from scprint2.accounting import JobMeter, processor
from scprint2.data import ontology
from scprint2.files import write_json
from scprint2.metrics.annotation import LISTED, is_right
from scprint2.metrics.denoising import spearman_per_cell
from scprint2.metrics.embedding import BATCH, BESIDE, BIO, TOTALS
from scprint2.metrics.journal import keep_journal
from scprint2.metrics.networks import rank_edges
from scprint2.plots.controls import Band
from scprint2.stats import LEAST_UNITS, bootstrap_interval
from scprint2.tasks.controls import Bands
from scprint2.tasks.layout import (
    DONOR_PART,
    REFINED,
    TERM,
    UNKNOWN,
    count_cells,
    read_ancestors,
    read_networks,
    read_truths,
)
from scprint2.tasks.predictions import about
from scprint2.tasks.score_annotation import REFINED_METRICS
from scprint2.tasks.scores import edges_among, score_prediction, score_rows, write_scores
from scprint2.tasks.selection import dense, dense_counts

Curve = tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]


@dataclass(frozen=True)
class Scored:
    """One prediction with its scores.

    Attributes
    ----------
    rows
        The written rows, one per metric.
    """

    dataset: str
    prediction: AnnData
    rows: pd.DataFrame

    @property
    def usable(self) -> bool:
        """Whether the prediction has any content to draw."""
        return about(self.prediction).get("failed") is None and (self.rows["status"] == "ok").any()

    @property
    def values(self) -> pd.Series:
        """Value of each metric, NaN where it failed."""
        return pd.Series(self.rows["value"].to_numpy(dtype=float), index=pd.Index(self.rows["metric"]))


def score_task(
    task: str, predictions: str | Iterable[str], scores: str, *, scale: str, variant: str, seed: int
) -> list[Scored]:
    """Score the predictions of one task and write `<scores>/<task>/<dataset>.tsv` for each, and what that cost as `.cost.json`.

    Parameters
    ----------
    predictions
        A folder that holds `<task>/<dataset>.h5ad`, or a list of such files, of which those of this task are taken.
    """
    listed = Path(predictions).glob("*/*.h5ad") if isinstance(predictions, str) else map(Path, predictions)
    done = []
    for path in sorted(path for path in listed if path.parent.name == task):
        with JobMeter("cpu", name=processor()) as meter, keep_journal(f"{scores}/{task}/{path.stem}"):
            prediction, found = score_prediction(path)
        rows = score_rows(prediction, found, scale=scale, variant=variant, seed=seed)
        write_scores(Path(scores) / task / f"{path.stem}.tsv", rows)
        write_json(Path(scores) / task / f"{path.stem}.cost.json", meter.cost(cells=count_cells(prediction)).to_json())
        done.append(Scored(path.stem, prediction, pd.DataFrame([vars(row) for row in rows])))
    if not done:
        raise ValueError(f"no predictions of the task {task!r} among {predictions}; run `scprint2 predict` first")
    return done


def score_table(scored: Iterable[Scored]) -> pd.DataFrame:
    """Lay out the values with metrics as rows and datasets as columns; a failed one reads `failed`.

    Where donors are known, the mean of their scores stands below the metric, with its interval over donors.
    """
    columns = {one.dataset: pd.Series(_spell_scores(one), dtype=str) for one in scored}
    return pd.DataFrame(columns).fillna("").rename_axis(index=None)


def _spell_scores(one: Scored) -> dict[str, str]:
    """The text of each metric, and of its mean over donors."""
    texts: dict[str, str] = {}
    donors: dict[str, list[float]] = {}
    for line in one.rows.to_dict("records"):
        metric, part, _ = str(line["metric"]).partition(DONOR_PART)
        if part:
            donors.setdefault(metric, []).append(line["value"])
        else:
            texts[metric] = "failed" if line["status"] != "ok" else f"{line['value']:.4g}"
    for metric, values in donors.items():
        if len(values) >= LEAST_UNITS:
            found = bootstrap_interval(np.array(values, dtype=float), rng=np.random.default_rng(0))
            text = f"{np.mean(values):.4g} ({found.low:.4g} to {found.high:.4g}; {len(values)} donors)"
            texts[f"{metric}, mean over donors"] = text
    return texts


def value_table(scored: Iterable[Scored]) -> pd.DataFrame:
    """Lay out the values with datasets as rows and metrics as columns, NaN where one failed or was not computed."""
    return pd.DataFrame({one.dataset: one.values for one in scored}).T


def integration_values(scored: Iterable[Scored]) -> pd.DataFrame:
    """Lay out what the table of an integration benchmark shows, of the first kind of embedding."""
    return value_table(scored).reindex(columns=pd.Index([*BIO, *BATCH, *BESIDE, *TOTALS]))


def kind_tables(scored: Iterable[Scored]) -> dict[str, pd.DataFrame]:
    """Return dataset to the parts of scIB's total (columns) of each kind of embedding (rows), Table 1's first."""
    tables = {}
    for one in scored:
        first = str(one.prediction.uns.get("kind", "embedding"))  # a baseline has but one
        rows: dict[str, dict[str, float]] = {first: {}}
        for metric, value in one.values.items():
            name, _, kind = str(metric).partition(":")
            if name in ("scib_bio", "scib_batch", "scib_total"):
                rows.setdefault(kind or first, {})[name.removeprefix("scib_")] = value
        tables[one.dataset] = pd.DataFrame(rows).T
    return tables


def failures(scored: Iterable[Scored]) -> pd.DataFrame:
    """List the failed metrics with their reasons."""
    parts = [one.rows[one.rows["status"] != "ok"] for one in scored]
    return pd.DataFrame(pd.concat(parts)[["dataset", "metric", "reason"]]).reset_index(drop=True)


def show(figure: Figure) -> None:
    """Put a figure into the notebook that runs, as a picture, and let go of it.

    A figure with a layout of its own is drawn once; one without is drawn twice, to find the box around what it holds.
    """
    from IPython.display import Image, display  # only where a notebook runs

    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, bbox_inches=None if figure.get_layout_engine() else "tight")
    plt.close(figure)
    display(Image(picture.getvalue()))


def usable(scored: Iterable[Scored]) -> Iterator[Scored]:
    """Yield the predictions that have content to draw."""
    return (one for one in scored if one.usable)


def cell_correlations(prediction: AnnData) -> pd.DataFrame:
    """Spearman correlation with the full counts of each cell's noisy and denoised profile, over its non-zero entries.

    NaN where a profile is constant, so that it has no order, or holds a value that is not finite.
    """
    full = dense_counts(prediction)
    columns = {}
    for layer in ("noisy", "denoised"):
        values = dense_counts(prediction, layer)
        finite = np.isfinite(values).all(axis=1, keepdims=True)
        columns[layer] = spearman_per_cell(np.where(finite, values, 0), full, where=full > 0)
    return pd.DataFrame(columns, index=prediction.obs_names)


def scored_entries(prediction: AnnData) -> dict[str, Num[np.ndarray, " entry"]]:
    """Full, noisy and denoised values of the entries that are non-zero in the full counts, where all three are finite."""
    layers = {"full": dense_counts(prediction)}
    layers |= {layer: dense_counts(prediction, layer) for layer in ("noisy", "denoised")}
    shown = (layers["full"] > 0) & np.logical_and.reduce([np.isfinite(values) for values in layers.values()])
    return {name: values[shown] for name, values in layers.items()}


def embedding_groups(prediction: AnnData) -> dict[str, Shaped[np.ndarray, " cell"]]:
    """Return what to color an embedding by: the name of each cell's type, and its batch."""
    types = np.array([ontology.label(term) for term in prediction.obs["label"].astype(str)])
    return {"cell type": types, "batch": prediction.obs["batch"].to_numpy(dtype=str)}


@dataclass(frozen=True)
class Calls:
    """The calls of the cells whose type is known, and what the ontology says about the terms."""

    truth: Shaped[np.ndarray, " cell"]
    prediction: Shaped[np.ndarray, " cell"]
    confidence: Float[np.ndarray, " cell"]
    right: Bool[np.ndarray, " cell"]
    ancestors: Mapping[str, frozenset[str]]
    names: Mapping[str, str]


def annotation_calls(prediction: AnnData) -> Calls:
    """Return the calls that are scored and have a confidence: neither the truth nor the call is unknown."""
    obs = pd.DataFrame(prediction.obs)
    known = (obs[TERM].astype(str) != UNKNOWN) & (obs[f"predicted_{TERM}"].astype(str) != UNKNOWN)
    obs = obs.loc[known & np.isfinite(obs["confidence"].to_numpy(dtype=float))]
    truth, called = obs[TERM].to_numpy(dtype=str), obs[f"predicted_{TERM}"].to_numpy(dtype=str)
    above = read_ancestors(prediction)
    return Calls(
        truth=truth,
        prediction=called,
        confidence=obs["confidence"].to_numpy(dtype=np.float32),
        right=is_right(truth, called, ancestors=above),
        ancestors=above,
        names={term: str(name) for term, name in prediction.uns["names"].items()},
    )


def answer_table(one: Scored) -> pd.DataFrame:
    """Lay out the scores of each kind of answer of an annotation: accuracy and macro-F1, along the ontology and strictly."""
    table = {
        answer: {metric: one.values.get(name) for metric, name in names.items()}
        for answer, names in _name_answers(one).items()
    }
    return pd.DataFrame(table).T.reindex(columns=pd.Index(REFINED_METRICS)).astype(float)


def answer_bands(one: Scored, bands: Bands) -> dict[tuple[str, str], Band]:
    """Return the controls' band of each cell of `answer_table` that has one."""
    names = {(answer, column): name for answer, own in _name_answers(one).items() for column, name in own.items()}
    keys = {place: ("annotate", one.dataset, name) for place, name in names.items()}
    return {place: bands[key] for place, key in keys.items() if key in bands}


def _name_answers(one: Scored) -> dict[str, dict[str, str]]:
    """Each kind of answer, and the metric behind each column of its table."""
    suffixes = {"single cells": ""}
    suffixes |= {str(name).replace("_", " "): f"_{name}" for name in one.prediction.uns.get(REFINED, ())}
    found = {answer: {metric: f"{metric}{suffix}" for metric in REFINED_METRICS} for answer, suffix in suffixes.items()}
    for number in LISTED:
        parts = {metric: metric.removeprefix("accuracy") for metric in REFINED_METRICS[:2]}
        found[f"best of {number}"] = {metric: f"accuracy_top_{number}{part}" for metric, part in parts.items()}
    found["shared parent"] = {"accuracy": "accuracy_shared_parent"}
    found["shared parent, by information"] = {"accuracy": "informed_accuracy_shared_parent"}
    return found


def precision_recall_curves(
    prediction: AnnData, truth: pd.DataFrame
) -> tuple[dict[tuple[str, str], Curve], dict[str, float]]:
    """(recall, precision) of each (group, method) against known edges, and the prevalence in each group.

    A group without known edges is left out, and so is a network that cannot be ranked; its failed scores say why.
    """
    curves, prevalence = {}, {}
    for group, method, network in read_networks(prediction):
        edges, name, scores = edges_among(network, truth), ontology.label(group), dense(network.varp["GRN"])
        if len(edges) == 0 or not np.isfinite(scores).all():
            continue
        ranking = rank_edges(scores, edges)
        hits = np.cumsum(ranking.positives)
        curves[name, method.replace("_", " ")] = (hits / hits[-1], hits / ranking.reached)
        prevalence[name] = ranking.prevalence
    return curves, prevalence


def strongest_edges(prediction: AnnData, *, most: int) -> tuple[str, pd.DataFrame, float]:
    """Return the first network's name, its strongest edges, and how many known ones as many random edges would hold.

    Edges are those that are scored against the first known network that has any among its genes: from a gene that is a source in
    it to another gene. Edges without a finite score are left out.
    """
    group, method, network = next(read_networks(prediction))
    known_networks = [edges_among(network, truth) for truth in read_truths(prediction).values()]
    edges = next((edges for edges in known_networks if len(edges)), known_networks[0])
    sources = np.unique(edges[:, 0])
    scores = np.array(network.varp["GRN"])[sources].astype(float)
    scores[np.arange(len(sources)), sources] = np.nan
    order = np.argsort(-scores, axis=None, kind="stable")[: min(most, int(np.isfinite(scores).sum()))]
    row, column = np.unravel_index(order, scores.shape)
    known = set(map(tuple, edges.tolist()))
    names = np.asarray(network.var["symbol"] if "symbol" in network.var else network.var_names, dtype=str)
    pairs = list(zip(sources[row].tolist(), column.tolist(), strict=True))
    table = pd.DataFrame(
        [(names[source], names[target]) for source, target in pairs], columns=pd.Index(["regulator", "target"])
    )
    table = table.assign(score=scores[row, column], known=[pair in known for pair in pairs])
    expected = len(table) * len(edges) / max(1, scores.size - len(sources))
    return f"{ontology.label(group)}, {method.replace('_', ' ')}", table, expected
