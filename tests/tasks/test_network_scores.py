import numpy as np
import pandas as pd
import pytest

from scprint2.plots.controls import Band
from scprint2.tasks.layout import Group, Network, lay_out, lay_out_truths
from scprint2.tasks.network_scores import collect_network_scores, method_scores, panel_bands, truth_bands
from scprint2.tasks.predictions import write_prediction
from scprint2.tasks.scores import network_scores, score_prediction, score_rows, write_scores
from tests.tasks.example import make_cells

TRUTHS = {
    "zeta": [(f"ENSG{i:05d}", f"ENSG{j:05d}") for i in range(6) for j in range(7, 18, 2) if (i + j) % 3],
    "alpha": [(f"ENSG{i:05d}", f"ENSG{j:05d}") for i in range(3, 9) for j in range(20) if (7 * i + 13 * j) % 5 == 0],
    "none": [("A", "B")],
}


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    group = Group("all", np.arange(3), np.arange(20))
    networks = [Network(group, name, rng.random((20, 20), dtype=np.float32)) for name in ("first", "second_one")]
    made = lay_out(make_cells(), networks)
    tables = {name: pd.DataFrame(edges, columns=["regulator", "target"]) for name, edges in TRUTHS.items()}
    made.uns["truth"] = lay_out_truths(tables, genes=made.var_names)
    return made


def test_score_files_become_a_line_per_row_and_known_network(prediction, tmp_path):
    write_prediction(tmp_path / "x.h5ad", prediction, about={"task": "networks", "dataset": "x"})
    read, scores = score_prediction(tmp_path / "x.h5ad")
    files = []
    for variant, seed in (("base", 0), ("base", 1), ("pearson", 0)):
        files.append(tmp_path / f"{variant}_{seed}.tsv")
        write_scores(files[-1], score_rows(read, scores, scale="mini", variant=variant, seed=seed))
    table = collect_network_scores(files, truths={"x": list(TRUTHS)})
    assert len(table) == 9
    line = table[(table["row"] == "base") & (table["seed"] == 1)].set_index("panel")
    assert line.loc["x / zeta", "odds_ratio"] == pytest.approx(scores["odds_ratio"].value)
    assert line.loc["x / alpha", "shuffled"] == pytest.approx(scores["odds_ratio_shuffled:alpha"].value)
    assert np.isnan(line.loc["x / none", "odds_ratio"])


def test_the_methods_of_one_prediction_are_laid_out_alike(prediction):
    scores = network_scores(prediction)
    values = pd.Series({name: np.nan if score.value is None else score.value for name, score in scores.items()})
    table = method_scores(prediction, values).set_index(["panel", "row"])
    assert list(table.index) == [(truth, method) for truth in TRUTHS for method in ("first", "second one")]
    assert table.loc[("alpha", "second one"), "odds_ratio"] == scores["odds_ratio_second_one:alpha"].value
    assert table.loc[("zeta", "first"), "shuffled"] == scores["odds_ratio_shuffled"].value


def test_every_known_network_has_the_band_of_its_own_scores_and_none_without_controls():
    first, second = Band(0.1, 0.2, ("random",)), Band(0.3, 0.4, ("random",))
    bands = {
        ("networks", "x", "average_precision"): first,
        ("networks", "x", "average_precision:alpha"): second,
        ("networks", "y", "average_precision:none"): first,
        ("networks", "x", "odds_ratio:alpha"): first,
    }
    assert truth_bands(bands, "x", metric="average_precision", truths=TRUTHS) == {"zeta": first, "alpha": second}
    assert truth_bands(bands, "y", metric="average_precision", truths=["zeta", "none"]) == {"none": first}
    assert truth_bands({}, "x", metric="average_precision", truths=TRUTHS) == {}


def test_the_panels_of_all_rows_have_the_bands_of_the_odds_ratio():
    bands = {
        ("networks", "x", "odds_ratio"): Band(0.5, 1.0, ("random",)),
        ("networks", "x", "odds_ratio:alpha"): Band(2.0, 3.0, ("untrained",)),
        ("networks", "x", "auprc"): Band(0.0, 1.0, ("random",)),
    }
    found = panel_bands(bands, truths={"x": list(TRUTHS), "y": ["zeta"]})
    assert found == {"x / zeta": Band(0.5, 1.0, ("random",)), "x / alpha": Band(2.0, 3.0, ("untrained",))}
