"""Networks with the degrees of a known one and no other likeness: what its hubs alone would give."""

import random

import igraph
import numpy as np
from jaxtyping import Int

from scprint2.seeds import fixed_seed

SHUFFLES = 5


def shuffle_edges(edges: Int[np.ndarray, "edge 2"], *, genes: int, seed: int) -> Int[np.ndarray, "edge 2"]:
    """Exchange the targets of pairs of edges at random, as often as ten times the number of edges.

    Every gene keeps its number of targets and of regulators; no edge comes twice or leads to its own source. An edge that is
    known both ways counts as two, and its two halves go different ways.

    Source: Milo et al. 2003, arXiv:cond-mat/0312028 (switching); igraph's `rewire`.
    """
    graph = igraph.Graph(n=genes, edges=edges.tolist(), directed=True)
    igraph.set_random_number_generator(random.Random(seed))  # igraph has one generator for the whole process
    try:
        graph.rewire(10 * len(edges))
    finally:
        igraph.set_random_number_generator(random)
    return np.array(graph.get_edgelist(), dtype=np.int64).reshape(-1, 2)


def shuffle_truth(edges: Int[np.ndarray, "edge 2"], *, genes: int) -> list[Int[np.ndarray, "edge 2"]]:
    """Shuffle the true edges of a network over `genes` genes a few times; always in the same ways (`seeds`)."""
    if len(edges) < 2:
        return [edges]  # nothing to exchange
    return [shuffle_edges(edges, genes=genes, seed=fixed_seed(seed)) for seed in range(SHUFFLES)]
