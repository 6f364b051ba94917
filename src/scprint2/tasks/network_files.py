"""Networks as GRnnData files, one each: `varp["GRN"]`, regulators as rows, in an h5ad that `grnndata.read_h5ad` reads too."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from jaxtyping import Num

from scprint2.files import atomic_path
from scprint2.metrics.networks import match_edges, score_network
from scprint2.metrics.score import Score
from scprint2.metrics.shuffles import shuffle_truth
from scprint2.tasks.layout import read_networks
from scprint2.tasks.predictions import about, read_prediction
from scprint2.tasks.selection import dense


def export_networks(prediction: Path, folder: Path) -> list[Path]:
    """Write each network of a prediction to `<folder>/<dataset>_<group>_<method>.h5ad`, over its own genes, without cells.

    Raises
    ------
    ValueError
        If the file is no prediction of networks.
    """
    found = read_prediction(prediction)
    told = about(found)
    if "networks" not in found.uns:
        raise ValueError(
            f"{prediction}: no networks; the task is {told['task']!r}, failed: {told.get('failed', 'no')!r}. "
            "Give a prediction of the task 'networks'"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for group, method, network in read_networks(found):
        network.uns["scprint2"] = json.dumps({**told, "group": group, "method": method})
        path = folder / f"{told['dataset']}_{group.replace(':', '_')}_{method}.h5ad"
        with atomic_path(path) as temporary:
            network.write_h5ad(temporary)
        written.append(path)
    return written


def read_network(path: Path) -> tuple[list[str], Num[np.ndarray, "gene gene"]]:
    """Read a network of any tool: the names of its genes and the score of each edge from the row's to the column's gene.

    Raises
    ------
    ValueError
        If the file has no `varp["GRN"]`.
    """
    network = anndata.read_h5ad(path)
    if "GRN" not in network.varp:
        raise ValueError(f"{path}: no varp['GRN'], only {sorted(network.varp)}. Write the network with GRnnData.")
    return list(network.var_names), np.array(dense(network.varp["GRN"]))


def score_network_file(network: Path, truth: pd.DataFrame) -> dict[str, Score]:
    """Score a network of any tool as the networks of the benchmark are scored; its genes must be named as those of the truth.

    Parameters
    ----------
    truth
        `regulator` and `target` of each known edge.
    """
    genes, scores = read_network(network)
    edges = match_edges(genes, sources=list(truth["regulator"]), targets=list(truth["target"]))
    return score_network(scores, edges, shuffled=shuffle_truth(edges, genes=len(genes)))
