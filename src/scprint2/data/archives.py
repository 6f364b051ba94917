"""Datasets published as archives of 10x files: the output of a Xenium run (zip), filtered matrices of samples (tar)."""

import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.sparse import csr_matrix

from scprint2.files import atomic_path

MATRIX = re.compile(r"(.*/)?(?P<sample>[^/]*?)_?(filtered_feature_bc_matrix|cell_feature_matrix)\.h5")
CELLS = "cells.parquet"  # of a Xenium run: cell_id, x_centroid and y_centroid in micrometers
GENES = "Gene Expression"


def unpack_dataset(archive: str | Path, target: str | Path) -> None:
    """Write the cells of an archive as h5ad: counts, Ensembl ids as index; `obs["batch"]` names the sample of a matrix.

    Cells of a Xenium run get `obsm["spatial"]` in micrometers; control probes are left out.

    Raises
    ------
    ValueError
        If the archive holds no matrix that 10x Genomics writes.
    """
    archive = Path(archive)
    with tempfile.TemporaryDirectory(dir=Path(target).parent) as folder:
        members = _extract(archive, Path(folder))
        matrices = {path: found["sample"] for path in members if (found := MATRIX.fullmatch(path.name))}
        if not matrices:
            raise ValueError(
                f"{archive}: no file is named ...filtered_feature_bc_matrix.h5 or cell_feature_matrix.h5; "
                f"it holds {[path.name for path in members][:5]}."
            )
        parts = {sample or archive.stem: _read_matrix(path) for path, sample in matrices.items()}
        cells = anndata.concat(parts, label="batch", index_unique="-" if len(parts) > 1 else None, merge="first")
        positions = next((path for path in members if path.name == CELLS), None)
        if positions is not None:
            cells.obsm["spatial"] = _read_positions(positions, list(cells.obs_names), where=archive)
        with atomic_path(target) as path:
            cells.write_h5ad(path)


def _extract(archive: Path, folder: Path) -> list[Path]:
    """Take out the files that matter, under their names without folders."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for name in filter(_matters, packed.namelist()):
                with packed.open(name) as source, (folder / Path(name).name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    else:
        with tarfile.open(archive) as packed:
            for member in packed.getmembers():
                source = packed.extractfile(member) if _matters(member.name) else None
                if source is not None:
                    with (folder / Path(member.name).name).open("wb") as target:
                        shutil.copyfileobj(source, target)
    return sorted(folder.iterdir())


def _matters(name: str) -> bool:
    return bool(MATRIX.fullmatch(name)) or name.rsplit("/", 1)[-1] == CELLS


def _read_matrix(path: Path) -> anndata.AnnData:
    cells = sc.read_10x_h5(path, gex_only=False)
    cells.var["symbol"] = cells.var_names.to_numpy()
    cells.var_names = cells.var["gene_ids"].tolist()
    cells = cells[:, (cells.var["feature_types"] == GENES).to_numpy()].copy()
    cells.X = csr_matrix(cells.X)
    cells.var = cells.var[["symbol"]]
    return cells


def _read_positions(path: Path, names: list[str], *, where: Path) -> np.ndarray:
    table = pd.read_parquet(path, columns=["cell_id", "x_centroid", "y_centroid"])
    ids = [name.decode() if isinstance(name, bytes) else str(name) for name in table["cell_id"]]
    table.index = pd.Index(ids)
    missing = [name for name in names if name not in table.index]
    if missing:
        raise ValueError(f"{where}: {len(missing)} cells have no position in {CELLS}, such as {missing[:3]}.")
    return table.loc[names, ["x_centroid", "y_centroid"]].to_numpy(dtype="float64")
