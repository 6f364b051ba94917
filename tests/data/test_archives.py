import io
import tarfile
import zipfile

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix

from scprint2.data.archives import unpack_dataset

COUNTS = np.array([[1, 0, 3, 9], [0, 2, 0, 9]])  # cell x feature; the last feature is a control probe


def matrix(cells):
    """Return an HDF5 file of counts as Cell Ranger and Xenium write it."""
    content = io.BytesIO()
    counts = csc_matrix(COUNTS.T)  # feature x cell, a column per cell
    with h5py.File(content, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(cells, dtype="S")
        group["data"], group["indices"], group["indptr"] = counts.data, counts.indices, counts.indptr
        group["shape"] = np.array(counts.shape)
        features = group.create_group("features")
        features["id"] = np.array(["ENSG00000000001", "ENSG00000000002", "ENSG00000000003", "NegControl"], dtype="S")
        features["name"] = np.array(["AAA", "BBB", "CCC", "NegControl"], dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * 3 + ["Negative Control Probe"], dtype="S")
        features["genome"] = np.array(["GRCh38"] * 4, dtype="S")
        features["_all_tag_keys"] = np.array(["genome"], dtype="S")
    return content.getvalue()


def test_a_xenium_run_becomes_cells_with_positions_and_without_control_probes(tmp_path):
    positions = pd.DataFrame({"cell_id": ["b-1", "a-1"], "x_centroid": [3.0, 1.0], "y_centroid": [4.0, 2.0]})
    with zipfile.ZipFile(tmp_path / "run.zip", "w") as archive:
        archive.writestr("outs/cell_feature_matrix.h5", matrix(["a-1", "b-1"]))
        archive.writestr("outs/cells.parquet", positions.to_parquet())
        archive.writestr("outs/morphology.ome.tif", b"large")
    unpack_dataset(tmp_path / "run.zip", tmp_path / "x.h5ad")
    cells = anndata.read_h5ad(tmp_path / "x.h5ad")
    assert list(cells.obs_names) == ["a-1", "b-1"]
    assert list(cells.var_names) == ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]
    assert cells.var["symbol"].tolist() == ["AAA", "BBB", "CCC"]
    assert cells.X.toarray().tolist() == COUNTS[:, :3].tolist()
    assert cells.obsm["spatial"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.zip", "x.h5ad"]


def test_the_matrices_of_several_samples_become_one_set_with_a_batch_each(tmp_path):
    with tarfile.open(tmp_path / "raw.tar", "w") as archive:
        for name in ("GSM2_CM2", "GSM1_CM1"):
            content = matrix(["a-1", "b-1"])
            member = tarfile.TarInfo(f"{name}_filtered_feature_bc_matrix.h5")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("filelist.txt"))
    unpack_dataset(tmp_path / "raw.tar", tmp_path / "x.h5ad")
    cells = anndata.read_h5ad(tmp_path / "x.h5ad")
    assert cells.shape == (4, 3)
    assert cells.obs_names.is_unique
    assert cells.obs["batch"].tolist() == ["GSM1_CM1"] * 2 + ["GSM2_CM2"] * 2
    assert cells.var["symbol"].tolist() == ["AAA", "BBB", "CCC"]
    assert cells.X.toarray().tolist() == COUNTS[:, :3].tolist() * 2


def test_an_archive_without_matrices_and_cells_without_positions_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("outs/cells.parquet", b"x")
    with pytest.raises(ValueError, match=r"no file is named .*it holds \['cells.parquet'\]"):
        unpack_dataset(tmp_path / "a.zip", tmp_path / "x.h5ad")
    positions = pd.DataFrame({"cell_id": ["a-1"], "x_centroid": [3.0], "y_centroid": [4.0]})
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("cell_feature_matrix.h5", matrix(["a-1", "b-1"]))
        archive.writestr("cells.parquet", positions.to_parquet())
    with pytest.raises(ValueError, match=r"1 cells have no position in cells.parquet, such as \['b-1'\]"):
        unpack_dataset(tmp_path / "b.zip", tmp_path / "x.h5ad")
    assert not (tmp_path / "x.h5ad").exists()
