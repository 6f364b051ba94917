"""From predictions to tidy score rows: one row per metric, a failed metric with its reason."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from scprint2.data.leakage import UNNAMED
from scprint2.files import atomic_path
from scprint2.metrics.denoising import score_by_depth, score_denoising
from scprint2.metrics.embedding import score_embedding, summarize_embedding
from scprint2.metrics.limits import METRIC_SECONDS, time_budget, time_limit
from scprint2.metrics.networks import match_edges, score_network
from scprint2.metrics.score import Score, average_scores, failed
from scprint2.metrics.shuffles import shuffle_truth
from scprint2.tasks.layout import (
    BEFORE,
    DENOISED,
    DONOR,
    DONOR_PART,
    EMBEDDING,
    SEEN,
    TRUE_MEAN,
    UNINFLATED,
    UNKNOWN,
    read_networks,
    read_truths,
)
from scprint2.tasks.predictions import about, read_prediction
from scprint2.tasks.score_annotation import score_answers
from scprint2.tasks.selection import dense, dense_counts
from scprint2.versions import describe_versions, installed_versions, own_version, refuse_mixed_versions

TASK_SECONDS = 4 * METRIC_SECONDS  # that all metrics of one prediction share
# What a prediction that could not be made, or be read by its metrics, fails: the metrics of Table 1.
MAIN_METRICS: Mapping[str, tuple[str, ...]] = {
    "denoise": ("spearman_gain",),
    "embed": ("scib_total", "scib_bio", "scib_batch"),
    "annotate": ("accuracy",),
    "networks": ("odds_ratio", "auprc"),
}
BY_DONOR = ("denoise", "annotate")  # tasks whose score of some cells does not depend on the others
DONOR_CELLS = 10  # a donor with fewer cells says little


@dataclass(frozen=True)
class ScoreRow:
    """One line of a score file; `value` is None where `status` is `failed`.

    Attributes
    ----------
    version, versions
        This package, and the libraries that can change a number, as they were when the score was made.
    """

    scale: str
    variant: str
    seed: int
    task: str
    dataset: str
    metric: str
    value: float | None
    status: str
    reason: str
    seconds: float
    version: str
    versions: str


def denoising_scores(prediction: AnnData) -> dict[str, Score]:
    """Score restored counts, their quarters by depth, and the means without zero probability where a model gives them."""
    full, noisy = dense_counts(prediction), dense_counts(prediction, "noisy")
    denoised = dense_counts(prediction, DENOISED)
    true_mean = dense_counts(prediction, TRUE_MEAN) if TRUE_MEAN in prediction.layers else None
    scores = score_denoising(full, noisy=noisy, denoised=denoised, true_mean=true_mean)
    depth = prediction.obs["noisy_depth"].to_numpy(dtype=float)
    scores |= score_by_depth(full, noisy=noisy, denoised=denoised, depth=depth)
    if UNINFLATED in prediction.layers:
        means = score_denoising(full, noisy=noisy, denoised=dense_counts(prediction, UNINFLATED), true_mean=true_mean)
        scores |= {f"{name}:uninflated": score for name, score in means.items() if name.startswith("spearman_gain")}
    return scores


def embedding_scores(prediction: AnnData) -> dict[str, Score]:
    """Score embeddings on the cells whose type is known; those that are not the first kind carry their kind behind a colon."""
    known = (prediction.obs["label"] != UNKNOWN).to_numpy()
    groups = {
        "labels": prediction.obs["label"].astype(str).to_numpy()[known],
        "batches": prediction.obs["batch"].astype(str).to_numpy()[known],
    }
    before = np.asarray(prediction.obsm[BEFORE])[known] if BEFORE in prediction.obsm else None
    scores = score_embedding(np.asarray(prediction.obsm[EMBEDDING])[known], before=before, **groups)
    for name in [name for name in prediction.obsm if name.startswith(f"{EMBEDDING}_")]:
        summary = summarize_embedding(np.asarray(prediction.obsm[name])[known], **groups)
        scores |= {f"{metric}:{name.removeprefix(f'{EMBEDDING}_')}": score for metric, score in summary.items()}
    return scores


def annotation_scores(prediction: AnnData) -> dict[str, Score]:
    """Score predicted cell types, and every other answer that the prediction holds."""
    return score_answers(prediction)


def network_scores(prediction: AnnData) -> dict[str, Score]:
    """Score networks against each known one, averaged over groups of cells.

    What is added to a metric's name, but for the first method and the first known network: `_<method>`, `:<known network>`.
    """
    truths = read_truths(prediction)
    found: dict[tuple[str, str], dict[str, Mapping[str, Score]]] = {}
    known: dict[tuple[str, str], tuple[np.ndarray, list[np.ndarray]]] = {}  # the same for all methods
    for group, method, network in read_networks(prediction):
        scores = dense(network.varp["GRN"])
        for truth, table in truths.items():
            if (group, truth) not in known:
                edges = edges_among(network, table)
                known[group, truth] = edges, shuffle_truth(edges, genes=len(scores))
            edges, shuffled = known[group, truth]
            found.setdefault((method, truth), {})[group] = score_network(scores, edges, shuffled=shuffled)
    methods = list(dict.fromkeys(method for method, _ in found))
    rows: dict[str, Score] = {}
    for (method, truth), groups in found.items():
        suffix = "" if method == methods[0] else f"_{method}"
        suffix += "" if truth == next(iter(truths)) else f":{truth}"
        rows |= {f"{metric}{suffix}": score for metric, score in average_scores(groups).items()}
    return rows


SCORERS: Mapping[str, Callable[[AnnData], dict[str, Score]]] = {
    "denoise": denoising_scores,
    "embed": embedding_scores,
    "annotate": annotation_scores,
    "networks": network_scores,
}


def edges_among(network: AnnData, truth: pd.DataFrame) -> np.ndarray:
    """Rows and columns of the known edges in a network."""
    sources, targets = truth["regulator"].astype(str), truth["target"].astype(str)
    return match_edges(list(network.var_names), sources=list(sources), targets=list(targets))


def score_prediction(path: Path) -> tuple[AnnData, dict[str, Score]]:
    """Read a prediction and score it.

    A prediction that failed, or whose content the metrics refuse, fails the main metrics of its task with the reason.
    Where cells were trained on, the main metrics come twice more: `<metric>:seen` of these cells and `<metric>:unseen` of the
    others. Where the donors are known and the task is done cell by cell, they come once more for each donor, as
    `<metric>:donor=<id>`: donors, not cells, are what intervals are made from.
    """
    prediction = read_prediction(path)
    task, reason = about(prediction)["task"], about(prediction).get("failed")
    if reason is not None:
        return prediction, dict.fromkeys(MAIN_METRICS[task], failed(reason))
    scores = _attempt_task(task, prediction)
    if "seen_cells" in about(prediction):
        for part, chosen in ((SEEN, prediction.obs[SEEN].to_numpy()), ("unseen", ~prediction.obs[SEEN].to_numpy())):
            found = _attempt_task(task, prediction[chosen]) if len(chosen) else {}
            inseparable = failed("these are not predicted cell by cell: predict again on a dataset of such cells alone")
            scores |= {f"{metric}:{part}": found.get(metric, inseparable) for metric in MAIN_METRICS[task]}
    if task in BY_DONOR and DONOR in prediction.obs:
        scores |= donor_scores(task, prediction)
    return prediction, scores


def donor_scores(task: str, prediction: AnnData) -> dict[str, Score]:
    """The main metrics of each donor's cells; a donor with few cells, or none that its metric can use, is left out."""
    donors = prediction.obs[DONOR].astype(str).to_numpy()
    scores: dict[str, Score] = {}
    for donor, cells in zip(*np.unique(donors, return_counts=True), strict=True):
        if cells < DONOR_CELLS or donor in UNNAMED:
            continue
        found = _attempt_task(task, prediction[donors == donor])
        scores |= {donor_metric(metric, donor): found[metric] for metric in MAIN_METRICS[task] if metric in found}
    return {metric: score for metric, score in scores.items() if score.status == "ok"}


def donor_metric(metric: str, donor: str) -> str:
    """The name of a metric of one donor's cells."""
    return f"{metric}{DONOR_PART}{donor}"


def _attempt_task(task: str, prediction: AnnData) -> dict[str, Score]:
    try:
        with time_limit(TASK_SECONDS + METRIC_SECONDS), time_budget(TASK_SECONDS):
            return dict(SCORERS[task](prediction))
    except Exception as error:  # noqa: BLE001 one prediction's trouble must not take the others' scores with it
        return dict.fromkeys(MAIN_METRICS[task], failed(f"{type(error).__name__}: {error}"))


def score_rows(
    prediction: AnnData, scores: Mapping[str, Score], *, scale: str, variant: str, seed: int
) -> list[ScoreRow]:
    """Lay scores out as tidy rows."""
    told, scored = about(prediction), installed_versions()
    place = (scale, variant, seed, told["task"], told["dataset"])
    versions = describe_versions(told.get("versions", scored), scored=scored)
    return [
        ScoreRow(*place, metric, **asdict(score), version=own_version(), versions=versions)
        for metric, score in scores.items()
    ]


def write_scores(path: Path, rows: Iterable[ScoreRow]) -> None:
    """Write score rows as TSV, whole or not at all."""
    names = [field.name for field in fields(ScoreRow)]
    table = pd.DataFrame([asdict(row) for row in rows], columns=pd.Index(names))
    table["reason"] = table["reason"].str.split().str.join(" ")
    with atomic_path(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False)


def read_scores(path: Path) -> pd.DataFrame:
    """Read score rows back; the value of a failed metric is NaN."""
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values={"value": [""]})


def read_all_scores(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Read the rows of several score files.

    Raises
    ------
    ValueError
        If they were made with different versions (`refuse_mixed_versions`).
    """
    scores = pd.concat([read_scores(Path(path)) for path in paths], ignore_index=True)
    refuse_mixed_versions(scores)
    return scores
