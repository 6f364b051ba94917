import anndata
import pytest

from scprint2.tasks.predictions import about, align, read_prediction, write_prediction
from tests.tasks.example import make_cells


def test_a_prediction_comes_back_with_what_it_is_about(tmp_path):
    path = tmp_path / "task" / "set.h5ad"
    write_prediction(path, make_cells(), about={"task": "embed", "settings": {"cells": 3}, "truth": None})
    read = about(read_prediction(path))
    assert (read["task"], read["settings"], read["truth"]) == ("embed", {"cells": 3}, None)
    assert [file.name for file in path.parent.iterdir()] == ["set.h5ad"]


def test_rows_that_moved_after_the_prediction_are_refused(tmp_path):
    path = tmp_path / "set.h5ad"
    write_prediction(path, make_cells(), about={"task": "embed"})
    moved = anndata.read_h5ad(path)[::-1].copy()
    moved.write_h5ad(path)
    with pytest.raises(ValueError, match="predict again"):
        read_prediction(path)


def test_another_h5ad_is_refused(tmp_path):
    make_cells().write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(ValueError, match="scprint2 predict"):
        read_prediction(tmp_path / "x.h5ad")


def test_repeated_cell_ids_are_refused(tmp_path):
    adata = make_cells()
    adata.obs_names = ["same"] * adata.n_obs
    with pytest.raises(ValueError, match="more than once"):
        write_prediction(tmp_path / "x.h5ad", adata, about={})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_prediction(tmp_path, monkeypatch):
    path = tmp_path / "set.h5ad"
    write_prediction(path, make_cells(), about={"task": "old"})

    def fail(self, target):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", fail)
    with pytest.raises(OSError, match="disk full"):
        write_prediction(path, make_cells(), about={"task": "new"})
    assert about(read_prediction(path))["task"] == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_align_finds_cells_by_id_and_refuses_missing_ones():
    cells = make_cells()
    part = cells[[5, 2, 9]]
    assert list(align(part, cells[::-1]).obs_names) == list(part.obs_names)
    with pytest.raises(ValueError, match="1 of 3"):
        align(part, cells[:9])
