import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import anndata
import h5py
import numpy as np
import psutil
import pytest
import scipy.sparse

from scprint2.data.validate import check_file, count_problem, open_cells, to_csr
from tests.data.raw import raw_cells, real_data, write


@dataclass(frozen=True)
class Found:
    """What an opened file holds."""

    place: str
    genes: list[str]
    counts: scipy.sparse.csr_matrix


def open_all(path, scratch):
    """Open a file and read its counts whole."""
    with open_cells(path, scratch=scratch) as raw:
        blocks = [to_csr(block) for _, block in raw.counts.blocks()]
        return Found(raw.place, raw.var.index.tolist(), scipy.sparse.vstack(blocks, format="csr"))


@pytest.fixture
def check(tmp_path):
    """Write cells as an h5ad file and open it."""
    return lambda adata: open_all(write(adata, tmp_path), tmp_path)


def with_values(change):
    adata = raw_cells()
    adata.X = change(adata.X.toarray())
    return adata


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int64, np.uint8])
@pytest.mark.parametrize("block", [1, 500, 1 << 22])
def test_counts_come_back_whatever_form_they_have_and_in_whatever_pieces_they_are_read(
    check, monkeypatch, form, kind, block
):
    for module in ("raw_cells", "count_store"):
        monkeypatch.setattr(f"scprint2.data.{module}.BLOCK_ENTRIES", block)
    adata = raw_cells()
    expected = adata.X.toarray().clip(0, 255)
    adata.X = form(expected.astype(kind))
    found = check(adata)
    assert np.array_equal(found.counts.toarray(), expected)
    assert found.counts.has_sorted_indices
    assert found.place == "X"


def negative(values):
    values[3, 4] = -2
    return values


def fraction(values):
    values[3, 4] = 2.31
    return values


def not_a_number(values):
    values[3, 4] = np.nan
    return values


def huge(values):
    values[3, 4] = 3e9
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (negative, "X holds negative values such as -2"),
        (fraction, "X holds numbers that are not whole, such as 2.31"),
        (np.log1p, r"X holds numbers that are not whole, such as .*log-normalized\?"),
        (not_a_number, "X holds 1 values that are NaN or infinite"),
        (huge, "X holds counts above 2147483647"),
        (np.zeros_like, "X is all zero"),
    ],
)
def test_what_is_no_raw_count_is_refused_with_what_was_found_and_the_fix(check, change, message):
    with pytest.raises(ValueError, match=rf"input.h5ad: no raw counts: {message}.*raw.X or layers\['counts'\]"):
        check(with_values(change))


def test_counts_are_looked_for_in_raw_and_then_in_the_layer_counts(check):
    counts = raw_cells()
    in_raw = with_values(np.log1p)
    in_raw.raw = counts
    in_raw = in_raw[:, :50].copy()
    found = check(in_raw)
    assert found.place == "raw.X"
    assert found.genes == counts.var_names.tolist()
    assert np.array_equal(found.counts.toarray(), counts.X.toarray())
    in_layer = with_values(np.log1p)
    in_layer.layers["counts"] = counts.X
    assert check(in_layer).place == "layers['counts']"


def test_duplicated_genes_and_cells_are_refused(check):
    adata = raw_cells()
    adata.var_names = ["ENSG1"] * 2 + adata.var_names[2:].tolist()
    with pytest.raises(
        ValueError, match=r"1 genes \(var_names\) are given more than once, such as 'ENSG1'.*sum the columns"
    ):
        check(adata)
    adata = raw_cells()
    adata.obs_names = ["cell"] * 3 + adata.obs_names[3:].tolist()
    with pytest.raises(ValueError, match=r"2 cells \(obs_names\) are given more than once, such as 'cell'"):
        check(adata)


def test_a_transposed_matrix_is_refused(check):
    with pytest.raises(ValueError, match=r"rows are named like genes.*adata\.T"):
        check(raw_cells().T)


@pytest.mark.parametrize("part", [np.s_[:0], np.s_[:, :0]])
def test_a_file_without_cells_or_genes_is_refused(check, part):
    with pytest.raises(ValueError, match="both must be more than 0"):
        check(raw_cells()[part].copy())


def test_stored_zeros_and_entries_given_twice_are_no_matter(check):
    matrix = scipy.sparse.csr_matrix(
        (np.array([1.0, 2, 0, 4]), np.array([1, 1, 0, 2]), np.array([0, 3, 4])), shape=(2, 3)
    )
    adata = anndata.AnnData(matrix)
    found = check(adata).counts
    assert found.toarray().tolist() == [[0, 3, 0], [0, 0, 4]]
    assert found.nnz == 2


def test_a_missing_file_and_one_that_is_no_hdf5_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        check_file(tmp_path / "none.h5ad")
    (tmp_path / "page.h5ad").write_text("<html>not found</html>")
    with pytest.raises(ValueError, match="not with an HDF5 signature"):
        check_file(tmp_path / "page.h5ad")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = write(raw_cells(), tmp_path)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match=rf"{path}: cannot be read as h5ad .*truncated"):
        check_file(path)


def test_a_decompression_bomb_is_refused_from_its_metadata(tmp_path):
    path = tmp_path / "bomb.h5ad"
    with h5py.File(path, "w") as file:
        file.create_dataset("X", shape=(100_000, 100_000), dtype=np.float32, chunks=(1000, 1000), compression="gzip")
    assert path.stat().st_size < 20_000
    with pytest.raises(ValueError, match="40,000,000,000 bytes of data; refused as a decompression bomb"):
        check_file(path)


def damaged(path, part, value):
    with h5py.File(path, "r+") as file:
        file["X"][part][1] = value


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [("indices", 500, "indices outside 0 to 119"), ("indices", -1, "indices outside"), ("indptr", 10**6, "row ends")],
)
def test_a_sparse_matrix_whose_parts_do_not_fit_is_refused(tmp_path, part, value, message):
    path = write(raw_cells(), tmp_path)
    damaged(path, part, value)
    with pytest.raises(ValueError, match=f"{path}: X has {message}"):
        check_file(path)


def test_links_to_other_files_are_refused(tmp_path):
    path = write(raw_cells(), tmp_path)
    with h5py.File(path, "r+") as file:
        file["layers/secret"] = h5py.ExternalLink("/etc/other.h5", "/X")
    with pytest.raises(ValueError, match=r"/layers/secret is a link to another file \('/etc/other.h5'\)"):
        check_file(path)


def test_a_file_that_hangs_the_hdf5_library_is_given_up(tmp_path, monkeypatch):
    path = write(raw_cells(40, 30), tmp_path)
    data = bytearray(path.read_bytes())
    name = data.index(b"ENSG00000000010.2")
    data[name - 24 : name + 40] = bytes(64)  # a piece of the heap of size 0, which HDF5 2.0 reads for ever
    path.write_bytes(bytes(data))
    monkeypatch.setattr("scprint2.data.validate.PROBE_SECONDS", 5.0)
    with pytest.raises(ValueError, match=f"{path}: cannot be read as h5ad .*does not end within 5 s"):
        check_file(path)


def test_a_reader_that_crashes_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "scprint2.data.validate._check_structure", lambda file, path: os.kill(os.getpid(), signal.SIGKILL)
    )
    with pytest.raises(ValueError, match=r"reading it ends the process with status -9"):
        check_file(write(raw_cells(), tmp_path))


def test_the_process_that_reads_first_ends_with_its_parent(tmp_path):
    """It has the parent's locks: a killed job could not be started again while it reads on."""
    path = write(raw_cells(), tmp_path)
    code = (
        "import time; from pathlib import Path; from scprint2.data import validate;"
        f"validate._check_structure = lambda *_: time.sleep(60); validate.check_file(Path({str(path)!r}))"
    )
    parent = psutil.Process(subprocess.Popen([sys.executable, "-c", code]).pid)
    while not (reading := parent.children()):
        assert parent.is_running()
        time.sleep(0.05)
    parent.kill()
    assert psutil.wait_procs(reading, timeout=10)[1] == []
    parent.wait()


def test_damaged_files_are_refused_or_hold_valid_counts(tmp_path, monkeypatch):
    """Flip bytes at random: no crash, and nothing invalid gets through."""
    monkeypatch.setattr("scprint2.data.validate.PROBE_SECONDS", 10.0)
    path = write(raw_cells(40, 30), tmp_path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = []
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), size=20):
            data[place] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            matrix = open_all(path, tmp_path).counts
        except ValueError as error:
            refused.append(str(error))
        else:
            assert count_problem(matrix) is None
            matrix.check_format(full_check=True)
    assert refused
    assert all(message.startswith(f"{path}: ") for message in refused)


@pytest.mark.real_data
def test_counts_of_a_real_cellxgene_file_are_found_in_raw(tmp_path):
    path = real_data() / "cxg_schema_examples/liver_bcells_cxg_v5.h5ad"
    found = open_all(path, tmp_path)
    assert found.place == "raw.X"
    assert found.counts.shape == (146, 33_387)
