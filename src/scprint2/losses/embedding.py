"""What cell embeddings should look like."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import LabelVocabulary
from scprint2.losses.node import LossNode
from scprint2.model.outputs import CellOutput


class ContrastiveConfig(LossNode):
    """Bring two views of a cell together, and keep the views of different cells apart."""

    kind: Literal["contrastive"]
    views: list[str] = Field(min_length=2, max_length=2)
    temperature: float = Field(gt=0)

    def build(self, labels: LabelVocabulary) -> "Contrastive":
        """Make the loss."""
        return Contrastive(self)


class Contrastive:
    """InfoNCE from the first view to the second, on the embeddings of a cell laid end to end.

    Source: "Embedding contrastive loss", algorithm 2; D38.
    """

    compares_cells = True

    def __init__(self, config: ContrastiveConfig):
        self.views, self.temperature = config.views, config.temperature

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        first, second = (outputs[view].cell_embeddings.float().flatten(1) for view in self.views)
        return info_nce(first, second, temperature=self.temperature)


def info_nce(
    first: Float[Tensor, "cell dim"], second: Float[Tensor, "cell dim"], *, temperature: float
) -> Float[Tensor, ""]:
    """Mean cross-entropy of finding each row's partner among all rows of `second`, by cosine over temperature."""
    with torch.autocast(first.device.type, enabled=False):  # losses are computed in fp32 (D3)
        similarity = normalize(first, dim=-1) @ normalize(second, dim=-1).T / temperature
    return cross_entropy(similarity, torch.arange(len(first), device=first.device))


class ElasticConfig(LossNode):
    """Make similar cells more similar, and dissimilar ones less, on either side of a cosine of `threshold` (D10)."""

    kind: Literal["elastic"]
    threshold: float = Field(gt=0, lt=1)

    def build(self, labels: LabelVocabulary) -> "Elastic":
        """Make the loss."""
        return Elastic(self)


class Elastic:
    """Sum over views and over the embeddings of a cell of the elastic similarity between cells.

    Source: eq. 13; D10, D38.
    """

    compares_cells = True

    def __init__(self, config: ElasticConfig):
        self.views, self.threshold = config.views, config.threshold

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        embeddings = torch.cat([outputs[view].cell_embeddings.float() for view in self.views], dim=1)
        return elastic_similarity(embeddings.transpose(0, 1), threshold=self.threshold).sum()


def elastic_similarity(embeddings: Float[Tensor, "*token cell dim"], *, threshold: float) -> Float[Tensor, "*token"]:
    """Mean over pairs of different cells of 1 - (max(0, cosine) - threshold)^2; 0 for a single cell."""
    unit = normalize(embeddings, dim=-1)
    cells = unit.shape[-2]
    with torch.autocast(unit.device.type, enabled=False):  # losses are computed in fp32 (D3)
        cost = 1 - ((unit @ unit.mT).clamp(min=0) - threshold).square()
    own = cost.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (cost.sum((-2, -1)) - own) / max(1, cells * (cells - 1))


class IndependenceConfig(LossNode):
    """Push the embeddings of one cell apart (D11)."""

    kind: Literal["independence"]

    def build(self, labels: LabelVocabulary) -> "Independence":
        """Make the loss."""
        return Independence(self.views)


class Independence:
    """Mean over cells of the mean squared cosine between different embeddings of a cell, summed over views.

    Source: eq. 14, which as printed pulls them together (D11).
    """

    compares_cells = False

    def __init__(self, views: list[str]):
        self.views = views

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        return torch.stack([squared_cosines(outputs[view].cell_embeddings.float()) for view in self.views]).sum()


def squared_cosines(embeddings: Float[Tensor, "cell token dim"]) -> Float[Tensor, ""]:
    """Mean squared cosine over the ordered pairs of different tokens; 0 when they are orthogonal, 1 when parallel."""
    unit = normalize(embeddings, dim=-1)
    tokens = unit.shape[1]
    with torch.autocast(unit.device.type, enabled=False):  # losses are computed in fp32 (D3)
        squares = (unit @ unit.transpose(1, 2)).square()
    own = squares.diagonal(dim1=1, dim2=2).sum(-1)
    return ((squares.sum((1, 2)) - own) / (tokens * (tokens - 1))).mean()


class KlConfig(LossNode):
    """Limit what a compressor lets through; the weight grows from zero to its value over the first `warmup_steps`."""

    kind: Literal["kl"]
    warmup_steps: int = Field(ge=0)

    def build(self, labels: LabelVocabulary) -> "Kl":
        """Make the loss."""
        return Kl(self)


class Kl:
    """Mean over cells of the divergence of their latents from a standard normal distribution, summed over views.

    Source: "VAE-based compressor model", eq. 20; Kingma and Welling 2014.
    """

    compares_cells = False

    def __init__(self, config: KlConfig):
        self.views, self.warmup_steps = config.views, config.warmup_steps

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        return torch.stack([outputs[view].divergence.float().mean() for view in self.views]).sum()
