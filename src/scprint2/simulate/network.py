"""The network of transcription factors that drives expression, and what knocking one down does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from scprint2.simulate.genome import Genome, is_own
from scprint2.simulate.settings import SimulationSettings, stream

KNOCK_DOWN = -2.3  # CRISPR interference leaves about a tenth of the transcripts: ln 0.1


@dataclass(frozen=True)
class RegulatoryNetwork:
    """Who regulates whom in one organism.

    A factor's drive x is the log of its own transcripts relative to the point of half activity; its activity is the Hill
    curve exp(x) / (1 + exp(x)). Activities act linearly on the drive of later factors and on the log expression of targets.

    Attributes
    ----------
    among
        Effect of a factor's activity (row) on the drive of another (column); zero on and below the diagonal.
    on_targets
        Effect of a factor's activity (row) on the log expression of every gene (column); zero for factors.
    """

    among: Float[np.ndarray, "tf tf"]
    on_targets: Float[np.ndarray, "tf gene"]

    def drive(
        self, external: Float[np.ndarray, "cell tf"], *, knock_down: Float[np.ndarray, "cell tf"] | None = None
    ) -> Float[np.ndarray, "cell tf"]:
        """Drive of each factor from what acts on it from outside and from the factors before it."""
        drive = np.array(external, dtype=np.float64)
        for factor in range(drive.shape[1]):
            drive[:, factor] += (activity(drive[:, :factor]) - 0.5) @ self.among[:factor, factor]
            if knock_down is not None:
                drive[:, factor] += knock_down[:, factor]
        return drive

    def log_expression(
        self, drive: Float[np.ndarray, "cell tf"], level: Float[np.ndarray, " gene"]
    ) -> Float[np.ndarray, "cell gene"]:
        """Log expression of every gene, not normalized over genes; `level` is the one at half activity of all factors."""
        expression = level + (activity(drive) - 0.5) @ self.on_targets
        expression[:, : drive.shape[1]] += drive
        return expression

    def edges(self, gene_ids: np.ndarray) -> pd.DataFrame:
        """Direct edges as regulator, target (gene ids) and weight."""
        weight = self.on_targets.copy()
        weight[:, : len(self.among)] += self.among
        return edge_table(weight, gene_ids)

    def knock_down_effects(
        self, external: Float[np.ndarray, "cell tf"], level: Float[np.ndarray, " gene"]
    ) -> Float[np.ndarray, "tf gene"]:
        """Mean log2 change of every gene when a factor is knocked down, free of noise; zero for the factor itself."""
        before = self.log_expression(self.drive(external), level)
        effects = np.zeros_like(self.on_targets)
        for factor in range(len(effects)):
            knock_down = np.zeros_like(external)
            knock_down[:, factor] = KNOCK_DOWN
            after = self.log_expression(self.drive(external, knock_down=knock_down), level)
            effects[factor] = (after - before).mean(0) / np.log(2)
            effects[factor, factor] = 0
        return effects


def activity(drive: Float[np.ndarray, "cell tf"]) -> Float[np.ndarray, "cell tf"]:
    """Hill curve of a factor's transcripts: x / (1 + x) on the scale of counts, a logistic curve of the log drive."""
    return 1 / (1 + np.exp(-drive))


def edge_table(weight: Float[np.ndarray, "tf gene"], gene_ids: np.ndarray) -> pd.DataFrame:
    """Non-zero weights as a table of regulator, target and weight."""
    regulator, target = np.nonzero(weight)
    return pd.DataFrame(
        {
            "regulator": gene_ids[regulator],
            "target": gene_ids[target],
            "weight": weight[regulator, target].round(4),
        }
    )


def build_network(settings: SimulationSettings, genome: Genome) -> RegulatoryNetwork:
    """Draw a network: one for all organisms, in which each has rewired some targets and its own genes."""
    organism, factors, coding = genome.organism, settings.transcription_factors, settings.genes
    own_rng = stream(settings.seed, "network", organism)
    shared = draw_weights(stream(settings.seed, "network"), factors, coding)
    own = draw_weights(own_rng, factors, coding)
    is_changed = own_rng.random(coding) < settings.rewired_share
    is_changed |= is_own(settings, organism)
    weight = np.where(is_changed[None, :], own, shared)
    own_factors = is_changed[:factors] & is_own(settings, organism)[:factors]
    weight[own_factors] = own[own_factors]

    among = np.triu(weight[:, :factors], k=1) * 0.5 * settings.edge_effect
    on_targets = np.zeros((factors, len(genome.frame)))
    on_targets[:, factors:coding] = weight[:, factors:] * settings.edge_effect
    return RegulatoryNetwork(among=among, on_targets=on_targets)


def draw_weights(rng: np.random.Generator, factors: int, genes: int) -> Float[np.ndarray, "tf gene"]:
    """Signed weights of a sparse network; a few factors have many targets, a gene has one regulator or more."""
    popularity = np.exp(rng.normal(0, 0.7, factors))
    keys = np.log(popularity)[:, None] + rng.gumbel(size=(factors, genes))  # a weighted draw without replacement
    rank = (-keys).argsort(0).argsort(0)
    regulators = 1 + rng.poisson(1.1, genes)
    size = rng.uniform(1.5, 4.0, (factors, genes)) / np.sqrt(regulators)
    sign = np.where(rng.random((factors, genes)) < 0.75, 1, -1)
    return np.where(rank < regulators, sign * size, 0.0)
