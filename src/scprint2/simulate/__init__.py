"""A corpus with known truth for every task: organisms, networks, cell types, batches, knock-downs, space."""

from scprint2.simulate.corpus import network_truth, simulate_dataset, write_corpus
from scprint2.simulate.designs import DESIGNS, Design
from scprint2.simulate.settings import SimulationSettings
from scprint2.simulate.world import World, build_world

__all__ = [
    "DESIGNS",
    "Design",
    "SimulationSettings",
    "World",
    "build_world",
    "network_truth",
    "simulate_dataset",
    "write_corpus",
]
