"""How well a restored profile orders the counts that were there before the downsampling."""

import numpy as np
from jaxtyping import Num
from scipy.sparse import issparse, sparray, spmatrix
from scipy.stats import rankdata

from scprint2.metrics.score import Score, attempt, combine, mean

DEPTH_PARTS = 4  # quarters of the cells, from the shallowest to the deepest

Matrix = Num[np.ndarray, "cell gene"] | spmatrix | sparray


def score_denoising(
    full: Matrix, *, noisy: Matrix, denoised: Matrix, true_mean: Matrix | None = None
) -> dict[str, Score]:
    """Score one dataset: gains in rank correlation over the noisy counts, times 100.

    `spearman_gain` is Table 1's: 100 x [Spearman(denoised, full) - Spearman(noisy, full)], pooled over all entries that are
    non-zero in `full` (D34). `spearman_gain_per_cell` is the mean of the same within each cell, `spearman_gain_all` pools
    the zeros too (D29), `spearman_gain_true_mean` compares with the noise-free means over all entries, where they are known.
    A gain of 0 is what no denoising gets; negative means worse than that.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    profiles = {"full": full, "noisy": noisy, "denoised": denoised} | (
        {} if true_mean is None else {"true_mean": true_mean}
    )
    dense = {name: _to_dense(matrix) for name, matrix in profiles.items()}
    for name, matrix in dense.items():
        if matrix.shape != dense["full"].shape:
            raise ValueError(
                f"{name} has shape {matrix.shape}, full has {dense['full'].shape}: the same cells and genes are needed, in "
                "the same order. Align them by name first."
            )
    expressed = dense["full"] != 0
    pooled = {name: matrix[expressed] for name, matrix in dense.items()}
    scores = _gain(pooled, truth="full", suffix="")
    scores["spearman_gain_per_cell"] = attempt(
        per_cell_gain, dense["full"], noisy=dense["noisy"], denoised=dense["denoised"]
    )
    everything = {name: matrix.ravel() for name, matrix in dense.items()}
    scores |= _gain(everything, truth="full", suffix="_all")
    if true_mean is not None:
        scores |= _gain(everything, truth="true_mean", suffix="_true_mean")
    return scores


def score_by_depth(
    full: Matrix, *, noisy: Matrix, denoised: Matrix, depth: Num[np.ndarray, " cell"]
) -> dict[str, Score]:
    """Give the main score once more for each quarter of the cells by depth: `spearman_gain:depth_1` (shallowest) to `_4`.

    Parameters
    ----------
    depth
        Counts of each cell after the noise, all genes. Cells of equal depth stay together, so that their order is no matter.
    """
    dense = {"full": _to_dense(full), "noisy": _to_dense(noisy), "denoised": _to_dense(denoised)}
    edges = np.quantile(depth, np.arange(1, DEPTH_PARTS) / DEPTH_PARTS)
    part = np.searchsorted(edges, depth, side="left")
    scores = {}
    for number in range(1, DEPTH_PARTS + 1):
        cells = part == number - 1
        expressed = dense["full"][cells] != 0
        pooled = {name: matrix[cells][expressed] for name, matrix in dense.items()}
        scores[f"spearman_gain:depth_{number}"] = _gain(pooled, truth="full", suffix="")["spearman_gain"]
    return scores


def spearman(values: Num[np.ndarray, " entry"], truth: Num[np.ndarray, " entry"]) -> float:
    """Spearman's rank correlation, ties at their mean rank.

    Raises
    ------
    ValueError
        If a value is not finite, there are fewer than two entries, or one side is constant (no order, so no correlation).
    """
    for name, side in (("values", values), ("truth", truth)):
        if not np.isfinite(side).all():
            raise ValueError(f"the {name} hold {int((~np.isfinite(side)).sum())} entries that are not finite numbers")
        if side.size < 2 or side.min() == side.max():
            raise ValueError(f"the {name} are constant over {side.size} entries: their rank correlation is not defined")
    ranks, truth_ranks = rankdata(values), rankdata(truth)
    ranks -= ranks.mean()
    truth_ranks -= truth_ranks.mean()
    return float(ranks @ truth_ranks / np.sqrt((ranks @ ranks) * (truth_ranks @ truth_ranks)))


def per_cell_gain(
    full: Num[np.ndarray, "cell gene"], *, noisy: Num[np.ndarray, "cell gene"], denoised: Num[np.ndarray, "cell gene"]
) -> float:
    """Mean over cells of 100 x [Spearman(denoised, full) - Spearman(noisy, full)] over a cell's non-zero entries.

    Cells whose full or noisy profile is constant over these entries are left out: a property of the data, the same cells
    for every model. A cell that the model made constant is an error, as it is in the pooled score.
    """
    gains = []
    for cell in range(full.shape[0]):
        expressed = full[cell] != 0
        before, truth = noisy[cell, expressed], full[cell, expressed]
        if truth.size < 2 or np.ptp(truth) == 0 or np.ptp(before) == 0:
            continue
        gains.append(100 * (spearman(denoised[cell, expressed], truth) - spearman(before, truth)))
    if not gains:
        raise ValueError("no cell has two different counts both before and after the downsampling")
    return mean(gains)


def _gain(profiles: dict[str, np.ndarray], *, truth: str, suffix: str) -> dict[str, Score]:
    """The correlations of the denoised and the noisy profile with the truth, and 100 times their difference."""
    denoised = attempt(spearman, profiles["denoised"], profiles[truth])
    noisy = attempt(spearman, profiles["noisy"], profiles[truth])
    gain = combine({"denoised": denoised, "noisy": noisy}, lambda after, before: 100 * (after - before))
    return {f"spearman_gain{suffix}": gain, f"spearman_denoised{suffix}": denoised, f"spearman_noisy{suffix}": noisy}


def _to_dense(matrix: Matrix) -> np.ndarray:
    return matrix.toarray() if issparse(matrix) else np.asarray(matrix)  # pyright: ignore[reportAttributeAccessIssue]
