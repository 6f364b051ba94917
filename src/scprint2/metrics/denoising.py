"""How well a restored profile orders the counts that were there before the downsampling."""

import numpy as np
from jaxtyping import Bool, Float, Num
from scipy.sparse import issparse, sparray, spmatrix
from scipy.stats import rankdata

from scprint2.metrics.attempt import attempt
from scprint2.metrics.score import Score, combine, mean

DEPTH_PARTS = 4  # quarters of the cells, from the shallowest to the deepest
CELLS_AT_ONCE = 256  # whose entries are sorted in one call

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


def spearman_per_cell(
    values: Num[np.ndarray, "cell gene"], truth: Num[np.ndarray, "cell gene"], *, where: Bool[np.ndarray, "cell gene"]
) -> Float[np.ndarray, " cell"]:
    """Spearman's rank correlation within each cell over the entries of `where`; NaN where one side is constant there.

    The values are those of `spearman`, cell by cell: ranks are whole or half numbers, whose products sum without rounding.

    Raises
    ------
    ValueError
        If an entry of `where` is not finite.
    """
    for name, side in (("values", values), ("truth", truth)):
        unfit = int((where & ~np.isfinite(side)).sum())
        if unfit:
            raise ValueError(f"the {name} hold {unfit} entries that are not finite numbers")
    found = np.full(len(where), np.nan)
    for start in range(0, len(where), CELLS_AT_ONCE):
        block = slice(start, start + CELLS_AT_ONCE)
        ours, true = (_centered_ranks(side[block], where[block]) for side in (values, truth))
        spread = np.sqrt((ours**2).sum(axis=1) * (true**2).sum(axis=1))
        np.divide((ours * true).sum(axis=1), spread, out=found[block], where=spread > 0)
    return found


def _centered_ranks(
    values: Num[np.ndarray, "cell gene"], where: Bool[np.ndarray, "cell gene"]
) -> Float[np.ndarray, "cell gene"]:
    """Ranks of a cell's entries of `where` among themselves, less their mean; 0 elsewhere."""
    ranks = rankdata(np.where(where, values, np.inf), axis=1)  # what is left out comes last, and moves no other rank
    return np.where(where, ranks - (where.sum(axis=1, keepdims=True) + 1) / 2, 0)


def per_cell_gain(
    full: Num[np.ndarray, "cell gene"], *, noisy: Num[np.ndarray, "cell gene"], denoised: Num[np.ndarray, "cell gene"]
) -> float:
    """Mean over cells of 100 x [Spearman(denoised, full) - Spearman(noisy, full)] over a cell's non-zero entries.

    Cells whose full or noisy profile is constant over these entries are left out: a property of the data, the same cells
    for every model. A cell that the model made constant is an error, as it is in the pooled score.
    """
    expressed = full != 0
    before, after = (spearman_per_cell(profile, full, where=expressed) for profile in (noisy, denoised))
    ordered = ~np.isnan(before)
    if not ordered.any():
        raise ValueError("no cell has two different counts both before and after the downsampling")
    constant = int(np.isnan(after[ordered]).sum())
    if constant:
        raise ValueError(f"the values are constant in {constant} cells: their rank correlation is not defined")
    return mean((100 * (after[ordered] - before[ordered])).tolist())


def _gain(profiles: dict[str, np.ndarray], *, truth: str, suffix: str) -> dict[str, Score]:
    """The correlations of the denoised and the noisy profile with the truth, and 100 times their difference."""
    denoised = attempt(spearman, profiles["denoised"], profiles[truth])
    noisy = attempt(spearman, profiles["noisy"], profiles[truth])
    gain = combine({"denoised": denoised, "noisy": noisy}, lambda after, before: 100 * (after - before))
    return {f"spearman_gain{suffix}": gain, f"spearman_denoised{suffix}": denoised, f"spearman_noisy{suffix}": noisy}


def _to_dense(matrix: Matrix) -> np.ndarray:
    return matrix.toarray() if issparse(matrix) else np.asarray(matrix)  # pyright: ignore[reportAttributeAccessIssue]
