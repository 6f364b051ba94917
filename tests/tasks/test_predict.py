import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.tasks import predict as module
from scprint2.tasks.layout import read_truths
from scprint2.tasks.predict import MODEL_TASKS, Method, PredictionJob, load_method, predict
from scprint2.tasks.predictions import about, read_prediction
from tests.tasks.example import make_cells

EMBED = {"batch_size": 16, "cells": 30, "max_genes": 20, "kinds": ["mean"]}
NETWORK = {
    "batch_size": 16, "genes": 20, "cells": 12, "minimum_cells": 5, "groups": "none", "regulator": "key", "trees": 3,
    "methods": ["mean_queries_keys"],
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    return str(tmp_path / "cells.h5ad")


def test_every_job_is_written_where_the_workflow_looks_for_it(pretrained, path, tmp_path):
    (tmp_path / "truth.tsv").write_text("regulator\ttarget\tweight\nENSG00001\tENSG00002\t1\n")
    jobs = [
        PredictionJob("embed", "lung", "one", EMBED, path),
        PredictionJob(
            "networks", "gwps", "two", {**NETWORK, "genes": 50}, path, truths={"net": str(tmp_path / "truth.tsv")}
        ),
    ]
    written = predict(Method("base", pretrained, MODEL_TASKS), jobs, out=tmp_path / "out", seed=4)
    assert written == [tmp_path / "out" / "embed" / "one.h5ad", tmp_path / "out" / "networks" / "two.h5ad"]
    told = about(read_prediction(written[0]))
    assert (told["dataset"], told["role"], told["seed"], told["settings"]) == ("one", "lung", 4, EMBED)
    assert read_truths(read_prediction(written[1]))["net"].to_numpy().tolist() == [["ENSG00001", "ENSG00002"]]


def test_what_a_method_cannot_do_is_written_with_its_reason_and_the_rest_goes_on(pretrained, path, tmp_path):
    impossible = {**NETWORK, "groups": "cell_type", "minimum_cells": 1000}
    jobs = [PredictionJob("networks", "omni", "a", impossible, path), PredictionJob("embed", "lung", "b", EMBED, path)]
    failed, fine = predict(Method("base", pretrained, MODEL_TASKS), jobs, out=tmp_path, seed=0)
    assert "minimum_cells" in about(read_prediction(failed))["failed"]
    assert "failed" not in about(read_prediction(fine))


def test_whatever_a_library_of_a_baseline_raises_fails_its_prediction_alone_and_a_models_error_is_raised(
    pretrained, path, tmp_path
):
    def broken(*arguments, **keywords):
        raise RuntimeError("the library gave up")

    jobs = [PredictionJob("embed", "lung", "a", EMBED, path)]
    (failed,) = predict(Method("pca", pretrained, {"embed": broken}, failures=(Exception,)), jobs, out=tmp_path, seed=0)
    assert about(read_prediction(failed))["failed"] == "RuntimeError: the library gave up"
    with pytest.raises(RuntimeError, match="gave up"):
        predict(Method("base", pretrained, {"embed": broken}), jobs, out=tmp_path / "model", seed=0)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("method", ["mean_queries_keys", "mean_attention"])
def test_a_model_without_a_gene_gene_matrix_fails_in_networks_and_does_the_rest(
    without_network, path, tmp_path, method
):
    jobs = [
        PredictionJob("networks", "gwps", "a", {**NETWORK, "methods": [method]}, path),
        PredictionJob("embed", "lung", "b", EMBED, path),
    ]
    failed, fine = predict(Method("criss_cross", without_network, MODEL_TASKS), jobs, out=tmp_path, seed=0)
    assert "this attention has no gene-gene matrix" in about(read_prediction(failed))["failed"]
    assert "failed" not in about(read_prediction(fine))


def test_a_wrong_setting_stops_before_anything_is_predicted(pretrained, path, tmp_path):
    jobs = [
        PredictionJob("embed", "lung", "b", EMBED, path),
        PredictionJob("embed", "lung", "c", {**EMBED, "x": 1}, path),
    ]
    with pytest.raises(ValueError, match="x"):
        predict(Method("base", pretrained, MODEL_TASKS), jobs, out=tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


def test_predicting_twice_gives_the_same_numbers(pretrained, path, tmp_path):
    jobs = [PredictionJob("embed", "lung", "b", EMBED, path)]
    parts = [predict(Method("x", pretrained, MODEL_TASKS), jobs, out=tmp_path / str(i), seed=i)[0] for i in range(2)]
    first, second = (read_prediction(part).obsm["X_scprint2"] for part in parts)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [(None, "either a model folder"), ("nothing", "one of the names"), ("pca", "corpus manifest")],
)
def test_a_method_must_be_named_well(baseline, message):
    with pytest.raises(ValueError, match=message):
        load_method(model=None, baseline=baseline, corpus=None, device="cpu")


def test_the_command_line_takes_jobs_as_text(pretrained, path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "load_model", lambda folder, device: pretrained)
    job = {"task": "embed", "role": "lung", "dataset": "b", "settings": EMBED, "cells": path, "truths": {}}
    arguments = [
        "predict",
        "--model",
        str(tmp_path),
        "--jobs",
        json.dumps([job]),
        "--seed",
        "0",
        "--out",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "embed" / "b.h5ad").is_file()


def test_edges_without_the_right_columns_are_refused(tmp_path):
    (tmp_path / "truth.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(ValueError, match="'regulator' and 'target'"):
        module.read_edges(tmp_path / "truth.tsv")


def test_cells_that_were_trained_on_are_marked(pretrained, path, tmp_path):
    jobs = [PredictionJob("embed", "lung", name, EMBED, path) for name in ("one", "two")]
    names = make_cells().obs_names
    seen = pd.DataFrame({"dataset": ["one", "one", "other"], "cell": [names[0], "no cell of it", names[1]]})
    one, two = predict(Method("base", pretrained, MODEL_TASKS), jobs, out=tmp_path, seed=0, seen=seen)
    assert about(read_prediction(one))["seen_cells"] == 2
    marked = read_prediction(one).obs
    assert marked.index[marked["seen"]].isin(names[:1]).all()
    assert "seen_cells" not in about(read_prediction(two))
    assert "seen" not in read_prediction(two).obs
