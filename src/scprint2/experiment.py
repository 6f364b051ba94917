"""The whole configuration tree, and the model, views and losses that it describes."""

from typing import Annotated, Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from scprint2.config.checks import check_experiment
from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.data.loader import DataConfig
from scprint2.data.vocabulary import GeneVocabulary, LabelVocabulary
from scprint2.losses.adversarial import AdversarialConfig
from scprint2.losses.classification import HierarchicalConfig
from scprint2.losses.embedding import ContrastiveConfig, ElasticConfig, IndependenceConfig, KlConfig
from scprint2.losses.reconstruction import BinsConfig, MseConfig, ZinbConfig
from scprint2.model.context import BuildContext
from scprint2.model.outputs import CellOutput
from scprint2.model.scprint2 import ScPrint2, ScPrint2Config, initialize
from scprint2.randomness import seed_dropout, stream, stream_seed
from scprint2.training.schedule import TrainingConfig
from scprint2.training.step import Trainable
from scprint2.views import ViewConfig

LossConfig = Annotated[
    ZinbConfig
    | MseConfig
    | BinsConfig
    | HierarchicalConfig
    | IndependenceConfig
    | ContrastiveConfig
    | ElasticConfig
    | KlConfig
    | AdversarialConfig,
    Field(discriminator="kind"),
]


class Experiment(Node):
    """One row of the benchmark: data, model, views, losses, training. There are no defaults: `base.yaml` has every value."""

    data: DataConfig
    model: ScPrint2Config
    views: dict[str, ViewConfig]
    losses: dict[str, LossConfig]
    training: TrainingConfig

    @model_validator(mode="after")
    def _check(self) -> "Experiment":
        check_experiment(self.model_dump(), name="experiment")
        return self


@runtime_checkable
class WarmsUp(Protocol):
    """A loss whose weight grows from zero to its value over the first steps."""

    @property
    def warmup_steps(self) -> int:
        """How many steps."""
        ...


class TrainingModel(Trainable):
    """A model with the views and losses that it is trained by."""

    model: ScPrint2

    def __init__(self, experiment: Experiment, context: BuildContext, *, seed: int):
        super().__init__()
        self.model = ScPrint2(experiment.model, context)
        initialize(self.model, deviation=experiment.model.initial_deviation, seed=seed)
        self.views = {name: view.build(context) for name, view in experiment.views.items()}
        self.losses = {name: loss.build(context.labels) for name, loss in experiment.losses.items()}
        self.loss_modules = nn.ModuleList(loss for loss in self.losses.values() if isinstance(loss, nn.Module))
        self.weights = {name: loss.weight for name, loss in experiment.losses.items()}

    def forward(
        self, batch: CellBatch, *, step: int, seed: int
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
        """Return the weighted sum of the losses and each of them.

        All randomness comes from (seed, step, name of the view), dropout included, so a resumed run draws the same.
        """
        outputs: dict[str, CellOutput] = {}
        device = batch.genes.device
        for name, view in self.views.items():
            seed_dropout(stream_seed(seed, step, name, "dropout"), device=device)
            outputs[name] = view(self.model, batch, outputs, stream(seed, step, name, device=device))
        terms = {name: loss(outputs, batch) for name, loss in self.losses.items()}
        total = torch.stack([self._weight(name, step=step) * term for name, term in terms.items()]).sum()
        return total, terms

    def _weight(self, name: str, *, step: int) -> float:
        """Weight of a loss at a step of training; at validation the whole weight, so that epochs can be compared."""
        loss, weight = self.losses[name], self.weights[name]
        if not (self.model.training and isinstance(loss, WarmsUp)):
            return weight
        return weight * min(1.0, (step + 1) / max(1, loss.warmup_steps))


def build(
    experiment: Experiment,
    *,
    genes: GeneVocabulary,
    labels: LabelVocabulary,
    gene_embedding: Float[Tensor, "vocabulary dim"],
    seed: int,
    tables: Literal["files", "weights"] = "files",
) -> TrainingModel:
    """Make the model with its views and losses; the initial weights depend on the seed and each parameter's name only.

    `tables` is "weights" where those of a stored model follow, which bring what was read from files.

    Raises
    ------
    ValueError
        If the gene embedding does not fit the vocabulary and the width of the model, or a file is missing or wrong.
    """
    expected = (len(genes), experiment.model.dim)
    if tuple(gene_embedding.shape) != expected:
        raise ValueError(
            f"the gene embedding has shape {tuple(gene_embedding.shape)}; the model needs {expected} (gene, dim)"
        )
    context = BuildContext(
        dim=experiment.model.dim, genes=genes, labels=labels, gene_embedding=gene_embedding, tables=tables
    )
    return TrainingModel(experiment, context, seed=seed)


def experiment_schema() -> dict[str, Any]:
    """Return the JSON schema of a resolved experiment (`config/schemas/experiment.schema.json`; a test keeps them in step)."""
    return Experiment.model_json_schema()
