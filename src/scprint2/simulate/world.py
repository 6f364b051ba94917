"""Everything that the simulated datasets share: organisms, networks and programs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from scprint2.simulate.genome import Genome, build_genome, draw_embedding
from scprint2.simulate.network import RegulatoryNetwork, build_network
from scprint2.simulate.settings import SimulationSettings, stream
from scprint2.simulate.terms import CELL_TYPES, NORMAL, ORGANISMS, UNKNOWN, ancestors


@dataclass(frozen=True)
class Program:
    """What a cell type or a condition changes: the drive of some factors, and the level of some genes."""

    drive: Float[np.ndarray, " tf"]
    level: Float[np.ndarray, " gene"]


@dataclass(frozen=True)
class Strength:
    """How many factors and genes a program touches, and how strongly (natural log)."""

    factors: int
    drive: float
    genes: int
    level: float


# The classes of a cell differ in how much of its expression they explain; cell type comes first.
STRENGTHS = {
    "cell_type": Strength(6, 1.2, 24, 1.1),
    "tissue": Strength(4, 0.4, 12, 0.5),
    "disease": Strength(4, 0.7, 12, 0.7),
    "stage": Strength(3, 0.4, 12, 0.5),
    "sex": Strength(0, 0.0, 6, 1.5),
    "ethnicity": Strength(0, 0.0, 6, 0.4),
}


@dataclass(frozen=True)
class World:
    """The truth behind a corpus.

    Attributes
    ----------
    genomes, networks
        By organism (NCBITaxon id); their gene axes agree.
    embedding
        Protein-embedding-like vectors of the protein-coding genes of all organisms, indexed by gene id.
    """

    settings: SimulationSettings
    genomes: dict[str, Genome]
    networks: dict[str, RegulatoryNetwork]
    embedding: pd.DataFrame

    def cell_type_program(self, organism: str, label: str) -> Program:
        """Sum of the programs of a cell type and all its ancestors in the slice of the ontology."""
        parts = [self.program(organism, "cell_type", CELL_TYPES[name].term) for name in ancestors(label)]
        scale = self.settings.type_effect
        return Program(scale * np.sum([p.drive for p in parts], 0), scale * np.sum([p.level for p in parts], 0))

    def program(self, organism: str, name: str, term: str) -> Program:
        """Program of one term of a class; organisms have related ones. Normal and unknown change nothing."""
        settings, strength = self.settings, STRENGTHS[name]
        drive = np.zeros(settings.transcription_factors)
        level = np.zeros(settings.genes + settings.noncoding_genes)
        if term in (NORMAL, UNKNOWN, "na"):
            return Program(drive, level)
        rng, own = stream(settings.seed, name, term), stream(settings.seed, name, term, organism)
        factors = rng.choice(settings.transcription_factors, strength.factors, replace=False)
        signs = rng.choice([-1, 1], strength.factors)
        drive[factors] = strength.drive * signs * rng.uniform(0.6, 1.4, strength.factors)
        genes = settings.transcription_factors + rng.choice(
            settings.genes - settings.transcription_factors, strength.genes, replace=False
        )
        level[genes] = strength.level * rng.uniform(0.5, 1.5, strength.genes) * own.uniform(0.7, 1.3, strength.genes)
        drive[factors] *= own.uniform(0.7, 1.3, strength.factors)
        return Program(drive, level)


def build_world(settings: SimulationSettings) -> World:
    """Draw the organisms, their networks and their embeddings; programs are drawn when asked for."""
    genomes = {organism: build_genome(settings, organism) for organism in ORGANISMS}
    networks = {organism: build_network(settings, genome) for organism, genome in genomes.items()}
    regulation = {organism: network.on_targets for organism, network in networks.items()}
    return World(settings, genomes, networks, draw_embedding(settings, genomes, regulation))
