"""Drawing the cells of one dataset: who they are, what they express, and what the sequencer counts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from scprint2.simulate.counts import draw_counts, dropout_share, expected_counts
from scprint2.simulate.designs import Design
from scprint2.simulate.network import KNOCK_DOWN
from scprint2.simulate.settings import stream
from scprint2.simulate.terms import ASSAYS, CELL_TYPES, ETHNICITIES, STAGES, UNKNOWN
from scprint2.simulate.world import World

CONTROL = "non-targeting"
CONTROL_SHARE = 0.15  # of the cells of a knock-down screen
PASSENGERS = 20  # genes without targets that a screen knocks down beside the factors
SECTION = 1000.0  # side of a section in micrometers


@dataclass(frozen=True)
class Cells:
    """The cells of a dataset.

    Attributes
    ----------
    obs
        One row per cell with the true labels: `cell_type` (label), `tissue`, `disease`, `stage`, `sex`, `ethnicity`
        (terms), `assay` (label), `donor`, `library`, and where the design asks `perturbation`, `x`, `y`.
    external
        What acts on each factor's drive from outside the network.
    """

    obs: pd.DataFrame
    external: Float[np.ndarray, "cell tf"]


def draw_cells(world: World, name: str, design: Design) -> Cells:
    """Draw the cells of a dataset and the drive that their type, condition, donor and own state give their factors."""
    rng = stream(world.settings.seed, "cells", name)
    count = max(20, round(design.cells * world.settings.cell_share))
    donors = draw_donors(rng, name, design)
    obs = donors.iloc[rng.integers(len(donors), size=count)].reset_index(drop=True)
    pairs = [(tissue, label, share) for tissue, mix in design.tissues.items() for label, share in mix.items()]
    share = np.array([pair[2] for pair in pairs])
    chosen = rng.choice(len(pairs), size=count, p=share / share.sum())
    obs["tissue"] = [pairs[pair][0] for pair in chosen]
    obs["cell_type"] = [pairs[pair][1] for pair in chosen]
    if design.special == "section":
        place_cells(rng, obs)
    if design.special == "knock_downs":
        obs["perturbation"] = draw_perturbations(rng, world, design, count)
    return Cells(obs, draw_drive(rng, world, design, obs))


def draw_donors(rng: np.random.Generator, name: str, design: Design) -> pd.DataFrame:
    """One row per donor; each donor is one library of one assay. Of a cell line neither age nor ethnicity is known."""
    number = np.arange(design.donors)
    is_line = design.tissue_type == "cell culture"
    stages = (UNKNOWN,) if is_line else STAGES[design.organism]
    ethnicities = (UNKNOWN,) if is_line else ETHNICITIES[design.organism]
    first_stage, first_ethnicity = rng.integers(len(stages)), rng.integers(len(ethnicities))
    return pd.DataFrame(
        {
            "donor": [f"{name}-donor-{n + 1}" for n in number],
            "library": [f"{name}-library-{n + 1}" for n in number],
            "assay": [design.assays[n % len(design.assays)] for n in number],
            "disease": [design.diseases[n % len(design.diseases)] for n in number],
            "sex": rng.permutation([f"PATO:000038{3 + n % 2}" for n in number]),
            "stage": [stages[(first_stage + n) % len(stages)] for n in number],
            "ethnicity": [ethnicities[(first_ethnicity + n) % len(ethnicities)] for n in number],
        }
    )


def place_cells(rng: np.random.Generator, obs: pd.DataFrame) -> None:
    """Give each cell a place: every cell type has its own layer of depth (y), with a wide spread."""
    types = sorted(obs["cell_type"].unique())
    center = dict(zip(types, np.linspace(0.15, 0.85, len(types)) * SECTION, strict=True))
    obs["x"] = rng.uniform(0, SECTION, len(obs))
    obs["y"] = np.clip(
        [center[label] for label in obs["cell_type"]] + rng.normal(0, 0.12 * SECTION, len(obs)), 0, SECTION
    )


def draw_perturbations(rng: np.random.Generator, world: World, design: Design, count: int) -> np.ndarray:
    """Knocked-down gene (its id) of each cell, or the control guide."""
    settings = world.settings
    passengers = settings.transcription_factors + np.arange(PASSENGERS)
    genes = np.append(np.arange(settings.transcription_factors), passengers)
    ids = world.genomes[design.organism].frame["gene_id"].to_numpy()
    guides = ids[rng.choice(genes, count)].astype(object)
    guides[rng.random(count) < CONTROL_SHARE] = CONTROL
    return guides


def draw_drive(
    rng: np.random.Generator, world: World, design: Design, obs: pd.DataFrame
) -> Float[np.ndarray, "cell tf"]:
    """Sum the programs of a cell, its donor's deviation, its place, and its own state.

    A cell's state is independent for every factor, plus three latent states that move many factors together.
    """
    settings, factors = world.settings, world.settings.transcription_factors
    drive = np.zeros((len(obs), factors))
    for label, cells in obs.groupby("cell_type").indices.items():
        drive[cells] += world.cell_type_program(design.organism, str(label)).drive
    for name in ("tissue", "disease", "stage", "sex", "ethnicity"):
        for term, cells in obs.groupby(name).indices.items():
            drive[cells] += world.program(design.organism, name, str(term)).drive
    for donor, cells in obs.groupby("donor").indices.items():
        drive[cells] += stream(settings.seed, "donor", str(donor)).normal(0, settings.donor_effect, factors)
    own = rng.normal(size=(len(obs), factors))
    latent = rng.normal(size=(len(obs), 3)) @ stream(settings.seed, "states").normal(size=(3, factors))
    drive += settings.cell_effect * (0.9 * own + 0.25 * latent)
    if "x" in obs:
        waves = stream(settings.seed, "section")
        for factor in waves.choice(factors, 10, replace=False):
            angle, phase = waves.uniform(0, 2 * np.pi, 2)
            along = np.cos(angle) * obs["x"].to_numpy() + np.sin(angle) * obs["y"].to_numpy()
            drive[:, factor] += np.sin(2 * np.pi * along / SECTION + phase)
    return drive


def draw_log_expression(world: World, design: Design, cells: Cells) -> Float[np.ndarray, "cell gene"]:
    """Log expression as the library shows it: network, programs, knock-downs, capture of the assay and the library."""
    settings, obs, organism = world.settings, cells.obs, design.organism
    genome, network = world.genomes[organism], world.networks[organism]
    genes = len(genome.frame)
    expression = network.log_expression(
        network.drive(cells.external, knock_down=knock_downs(world, design, cells)), genome.level
    )
    for label, rows in obs.groupby("cell_type").indices.items():
        expression[rows] += world.cell_type_program(organism, str(label)).level
    for name in ("tissue", "disease", "stage", "sex", "ethnicity"):
        for term, rows in obs.groupby(name).indices.items():
            expression[rows] += world.program(organism, name, str(term)).level
    for label, rows in obs.groupby("assay").indices.items():
        assay = ASSAYS[str(label)]
        capture = stream(settings.seed, "assay", assay.term).normal(0, settings.assay_effect, genes)
        expression[rows] += capture + assay.length_bias * np.log(genome.frame["length"].to_numpy() / 2500)
    for library, rows in obs.groupby("library").indices.items():
        expression[rows] += stream(settings.seed, "library", str(library)).normal(0, settings.library_effect, genes)
    if "perturbation" in obs:
        for gene in range(settings.transcription_factors, settings.transcription_factors + PASSENGERS):
            expression[(obs["perturbation"] == genome.frame["gene_id"][gene]).to_numpy(), gene] += KNOCK_DOWN
    return expression


def knock_downs(world: World, design: Design, cells: Cells) -> Float[np.ndarray, "cell tf"] | None:
    """Change of each factor's drive by the guide that its cell received."""
    if "perturbation" not in cells.obs:
        return None
    ids = world.genomes[design.organism].frame["gene_id"].to_numpy()[: world.settings.transcription_factors]
    return KNOCK_DOWN * (cells.obs["perturbation"].to_numpy()[:, None] == ids[None, :])


@dataclass(frozen=True)
class Counted:
    """Counts of every cell, and the means that they were drawn from (before any dropout)."""

    counts: np.ndarray
    mean: np.ndarray


def count_cells(world: World, name: str, design: Design, cells: Cells) -> Counted:
    """Draw each cell's depth, its expected counts and its counts."""
    rng = stream(world.settings.seed, "counts", name)
    expression = draw_log_expression(world, design, cells)
    size = {
        label: np.exp(stream(world.settings.seed, "size", term.term).normal(0, 0.2))
        for label, term in CELL_TYPES.items()
    }
    mean = np.zeros(expression.shape, dtype=np.float32)
    counts = np.zeros(expression.shape, dtype=np.int64)
    for label, rows in cells.obs.groupby("assay").indices.items():
        assay = ASSAYS[str(label)]
        depth = assay.depth * design.depth * np.exp(rng.normal(0, assay.depth_spread, len(rows)))
        depth *= cells.obs["cell_type"].iloc[rows].map(size).to_numpy()
        expected = expected_counts(expression[rows], depth=depth)
        mean[rows] = expected
        counts[rows] = draw_counts(
            rng, expected, dispersion=assay.dispersion, zero_share=dropout_share(expected, assay)
        )
    return Counted(counts, mean)


def annotate(rng: np.random.Generator, design: Design, obs: pd.DataFrame) -> np.ndarray:
    """Cell type labels as annotators give them: in every third donor some at a parent term, a few unknown."""
    labels = obs["cell_type"].to_numpy(dtype=object)
    coarse = obs["donor"].str.rpartition("-")[2].astype(int).to_numpy() % 3 == 0
    is_coarse = coarse & (rng.random(len(obs)) < 0.5)
    parents = np.array([design.parent_labels.get(label, label) for label in labels], dtype=object)
    labels = np.where(is_coarse, parents, labels)
    return np.where(rng.random(len(obs)) < design.unknown_share, UNKNOWN, labels)
