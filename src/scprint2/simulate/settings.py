"""The size and the strength of the effects of a simulated corpus, and its named streams of random numbers."""

import hashlib
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class SimulationSettings:
    """Numbers of a simulated world. Effects are standard deviations on the natural log scale of expression.

    Attributes
    ----------
    seed
        Names the world: the same seed gives the same counts, byte for byte.
    genes, noncoding_genes, transcription_factors
        Per organism; transcription factors are among the protein-coding `genes`.
    own_gene_share
        Share of the protein-coding genes that are not the one-to-one ortholog of a gene of the other organism.
    rewired_share
        Share of the ortholog targets whose regulation one organism has changed.
    embedding_dim
        Width of the protein-embedding-like vectors.
    pathway_effect
        Weight, in the vector of a gene, of what it shares with the genes of the same strongest regulator; its ortholog family
        has weight 1.
    cell_share
        Factor on the number of cells of every dataset.
    cell_effect
        Variation of a regulator's drive between cells of one type.
    donor_effect
        Variation of a regulator's drive between donors.
    assay_effect, library_effect
        Variation of a gene's capture between assays, and between libraries of one assay.
    type_effect
        Factor on the strength of all cell type programs.
    edge_effect
        Factor on the strength of all regulatory edges.
    """

    seed: int
    genes: int = 800
    noncoding_genes: int = 120
    transcription_factors: int = 60
    own_gene_share: float = 0.08
    rewired_share: float = 0.12
    embedding_dim: int = 96
    pathway_effect: float = 0.7
    cell_share: float = 1.0
    cell_effect: float = 1.0
    donor_effect: float = 0.2
    assay_effect: float = 0.35
    library_effect: float = 0.25
    type_effect: float = 1.0
    edge_effect: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no world can be built from."""
        for field in fields(self):
            if getattr(self, field.name) < 0:
                raise ValueError(
                    f"simulation setting {field.name} is {getattr(self, field.name)}; it must be 0 or more"
                )
        if self.transcription_factors < 10 or self.genes < 4 * self.transcription_factors:
            raise ValueError(
                f"{self.genes} genes with {self.transcription_factors} transcription factors; there must be at least "
                "10 transcription factors and 4 genes for each of them"
            )


def stream(seed: int, *name: str) -> np.random.Generator:
    """Random numbers that depend on the seed and a name alone, so that adding a part leaves all others unchanged."""
    digest = hashlib.sha256("/".join((str(seed), *name)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())
