"""Genes of the simulated organisms: ortholog families, locations, levels and protein-embedding-like vectors."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from scprint2.simulate.settings import SimulationSettings, stream
from scprint2.simulate.terms import ORGANISMS

PREFIXES = {
    "NCBITaxon:9606": "ENSG9",
    "NCBITaxon:10090": "ENSMUSG9",
    "NCBITaxon:10116": "ENSRNOG9",
    "NCBITaxon:7955": "ENSDARG9",
}
CHROMOSOMES = {
    "NCBITaxon:9606": ("1", "2", "3", "4", "5", "6", "X"),
    "NCBITaxon:10090": ("1", "2", "3", "4", "5", "X"),
    "NCBITaxon:10116": ("1", "2", "3", "4", "X"),
    "NCBITaxon:7955": ("1", "2", "3", "4", "5", "6"),
}
TABLE_COLUMNS = ("gene_id", "symbol", "aliases", "biotype", "chromosome", "start", "is_tf", "family")


@dataclass(frozen=True)
class Genome:
    """The genes of one organism: transcription factors first, then other protein-coding genes, then non-coding ones.

    Attributes
    ----------
    frame
        One row per gene with the columns of the raw gene table and `length` (bases of the transcript).
        Row i of a gene with a one-to-one ortholog is row i of the other organisms, too.
    level
        Log expression of each gene before any program, for a transcription factor at a drive of 0.
    """

    organism: str
    frame: pd.DataFrame
    level: Float[np.ndarray, " gene"]

    def table(self) -> pd.DataFrame:
        """Return the raw gene table in the order of the chromosomes."""
        return (
            self.frame.sort_values(by=["chromosome", "start", "gene_id"])
            .reset_index(drop=True)
            .filter(items=TABLE_COLUMNS)
        )


def is_own(settings: SimulationSettings, organism: str) -> np.ndarray:
    """Which protein-coding genes have no one-to-one ortholog: the last of the regulators and the last of all."""
    own = np.zeros(settings.genes, dtype=bool)
    own_factors = round(settings.own_gene_share * settings.transcription_factors)
    own_targets = round(settings.own_gene_share * settings.genes) - own_factors
    own[settings.transcription_factors - own_factors : settings.transcription_factors] = True
    own[settings.genes - own_targets :] = own_targets > 0
    return own


def build_genome(settings: SimulationSettings, organism: str) -> Genome:
    """Draw the genes of one organism around what all organisms share."""
    shared, rng = stream(settings.seed, "genes"), stream(settings.seed, "genes", organism)
    coding, total = settings.genes, settings.genes + settings.noncoding_genes
    is_tf = np.arange(total) < settings.transcription_factors
    own = np.append(is_own(settings, organism), np.ones(settings.noncoding_genes, dtype=bool))

    # Transcription factors lie high: a tiny corpus could not show the fluctuation of genes with 0.1 counts per cell.
    shared_level, own_level = (
        np.where(is_tf, g.normal(0.9, 0.4, total), g.normal(0, 1.2, total)) for g in (shared, rng)
    )
    level = np.where(own, own_level, shared_level + rng.normal(0, 0.25, total))
    level[coding:] -= 2.0  # non-coding genes are counted rarely
    shared_length, own_length = (np.exp(g.normal(np.log(2500), 0.6, total)) for g in (shared, rng))
    chromosome, start = draw_locations(rng, total, CHROMOSOMES[organism])
    frame = pd.DataFrame(
        {
            "gene_id": [f"{PREFIXES[organism]}{n:010d}" for n in rng.permutation(total) + 1],
            **name_genes(organism, coding, total),
            "biotype": np.where(np.arange(total) < coding, "protein_coding", "lncRNA"),
            "chromosome": chromosome,
            "start": start,
            "is_tf": is_tf.astype(int),
            "family": name_families(rng, organism, own, settings),
            "length": np.round(np.where(own, own_length, shared_length)).astype(int),
        }
    )
    return Genome(organism=organism, frame=frame, level=level)


def name_genes(organism: str, coding: int, total: int) -> dict[str, list[str]]:
    """Symbols (in the case that each organism uses) and, for every eighth gene, an alias."""
    human = organism == "NCBITaxon:9606"
    symbols = [f"SIM{n + 1:04d}" if n < coding else f"SIMNC{n + 1:04d}" for n in range(total)]
    aliases = [f"OLD{n + 1:04d}" if n % 8 == 0 else "" for n in range(total)]
    return {
        "symbol": symbols if human else [name.capitalize() for name in symbols],
        "aliases": aliases if human else [name.capitalize() for name in aliases],
    }


def name_families(rng: np.random.Generator, organism: str, own: np.ndarray, settings: SimulationSettings) -> list[str]:
    """Ortholog families: one-to-one, but half of the own targets are a second gene of a shared family."""
    families = [f"FAM{n + 1:04d}" for n in range(len(own))]
    number = organism.rpartition(":")[2]
    shared_targets = np.flatnonzero(~own[: settings.genes])
    shared_targets = shared_targets[shared_targets >= settings.transcription_factors]
    for gene in np.flatnonzero(own):
        second = settings.transcription_factors <= gene < settings.genes and gene % 2 == 0
        families[gene] = f"FAM{rng.choice(shared_targets) + 1:04d}" if second else f"FAM{gene + 1:04d}-{number}"
    return families


def draw_locations(rng: np.random.Generator, total: int, chromosomes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Chromosome and start of each gene; a third of the genes starts within 10 kb of the one before."""
    start = np.zeros(total, dtype=np.int64)
    chromosome = rng.choice(len(chromosomes), total)
    for number in range(len(chromosomes)):
        genes = rng.permutation(np.flatnonzero(chromosome == number))
        near = rng.random(len(genes)) < 1 / 3
        gaps = np.where(near, rng.integers(500, 10_000, len(genes)), rng.integers(20_000, 400_000, len(genes)))
        start[genes] = 100_000 + np.cumsum(gaps)
    return np.array(chromosomes)[chromosome], start


def draw_embedding(
    settings: SimulationSettings, genomes: dict[str, Genome], regulation: dict[str, Float[np.ndarray, "tf gene"]]
) -> pd.DataFrame:
    """Vectors as a protein language model would give them: close for orthologs, and carrying function.

    A vector is the sum of one of its ortholog family, one that all transcription factors share (their DNA-binding
    domain), one of the strongest regulator of the gene (proteins of one pathway resemble each other), and noise.
    """
    dim = settings.embedding_dim
    domain = stream(settings.seed, "embedding", "domain").normal(size=dim)
    pathways = stream(settings.seed, "embedding", "pathway").normal(size=(settings.transcription_factors, dim))
    parts = []
    for organism in ORGANISMS:
        frame = genomes[organism].frame[: settings.genes]
        family = np.stack([stream(settings.seed, "embedding", name).normal(size=dim) for name in frame["family"]])
        noise = stream(settings.seed, "embedding", organism).normal(size=family.shape)
        weight = np.abs(regulation[organism][:, : settings.genes])
        pathway = pathways[weight.argmax(0)] * (weight.max(0) > 0)[:, None]
        values = family + settings.pathway_effect * pathway + np.asarray(frame["is_tf"])[:, None] * domain + 0.3 * noise
        parts.append(pd.DataFrame(values.astype(np.float32), index=pd.Index(frame["gene_id"], name="gene_id")))
    return pd.concat(parts).rename(columns=str)
