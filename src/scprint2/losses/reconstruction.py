"""How well counts are reconstructed."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scprint2.data.batch import CellBatch
from scprint2.data.vocabulary import LabelVocabulary
from scprint2.losses.node import LossNode
from scprint2.model.expression_encoders import quantile_bins
from scprint2.model.outputs import BinnedOutput, CellOutput, ExpressionOutput

SMALL = 1e-8


class ZinbConfig(LossNode):
    """Zero-inflated negative-binomial likelihood, summed over views."""

    kind: Literal["zinb"]

    def build(self, labels: LabelVocabulary) -> "Zinb":
        """Make the loss."""
        return Zinb(self.views)


class Zinb:
    """Mean over genes and cells of the negative log-likelihood of the counts, summed over views.

    Source: eqs. 8-10 and 20.
    """

    compares_cells = False

    def __init__(self, views: list[str]):
        self.views = views

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        terms = [
            mean_over(zinb_log_likelihood(output.expression, batch.counts), scored=output.scored, padding=batch.padding)
            for output in (outputs[view] for view in self.views)
        ]
        return -torch.stack(terms).sum()


class MseConfig(LossNode):
    """Squared error on the log scale, summed over views."""

    kind: Literal["mse"]

    def build(self, labels: LabelVocabulary) -> "Mse":
        """Make the loss."""
        return Mse(self.views)


class Mse:
    """Mean over genes and cells of the squared difference of log2(1 + expected counts) and log2(1 + counts).

    Source: eq. 11, which compares a count with a logarithm (D12).
    """

    compares_cells = False

    def __init__(self, views: list[str]):
        self.views = views

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss."""
        terms = []
        for output in (outputs[view] for view in self.views):
            expected = output.expression.mean.float() * torch.sigmoid(-output.expression.zero_logit.float())
            error = (torch.log2(1 + expected) - torch.log2(1 + batch.counts.float())).square()
            terms.append(mean_over(error, scored=output.scored, padding=batch.padding))
        return torch.stack(terms).sum()


class BinsConfig(LossNode):
    """Cross-entropy over the bins of the counts, summed over views."""

    kind: Literal["bins"]

    def build(self, labels: LabelVocabulary) -> "Bins":
        """Make the loss."""
        return Bins(self.views)


class Bins:
    """Mean over genes and cells of the cross-entropy of the bin of each count among those of its cell.

    Source: "Additive benchmark", "binning"; Cui et al. 2024 (scGPT).
    """

    compares_cells = False

    def __init__(self, views: list[str]):
        self.views = views

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss.

        Raises
        ------
        TypeError
            If the model has no decoder of bins.
        """
        terms = []
        for output in (outputs[view] for view in self.views):
            if not isinstance(output.expression, BinnedOutput):
                raise TypeError("the loss `bins` needs the expression decoder `bins`")
            logits = output.expression.bin_logits
            bins = quantile_bins(batch.counts.float(), bins=logits.shape[-1])
            error = torch.nn.functional.cross_entropy(logits.flatten(0, 1), bins.flatten(), reduction="none")
            terms.append(mean_over(error.view_as(bins), scored=output.scored, padding=batch.padding))
        return torch.stack(terms).sum()


def zinb_log_likelihood(output: ExpressionOutput, counts: Float[Tensor, "cell gene"]) -> Float[Tensor, "cell gene"]:
    """Return log P(counts) under a zero-inflated negative binomial, in fp32.

    With theta the dispersion, mu the mean and p = sigmoid(zero_logit):
    P(0) = p + (1 - p) (theta / (theta + mu))^theta, P(x) = (1 - p) NB(x | mu, theta).

    Source: eq. 10; the stable form of Lopez et al. 2018 (scVI).
    """
    mean, theta, logit = output.mean.float(), output.dispersion.float(), output.zero_logit.float()
    counts = counts.float()
    log_total = torch.log(theta + mean + SMALL)
    log_nb_zero = theta * (torch.log(theta + SMALL) - log_total)
    log_not_inflated = -torch.nn.functional.softplus(logit)
    zero = torch.logaddexp(logit, log_nb_zero) + log_not_inflated
    positive = (
        log_not_inflated
        + log_nb_zero
        + counts * (torch.log(mean + SMALL) - log_total)
        + torch.lgamma(counts + theta)
        - torch.lgamma(theta)
        - torch.lgamma(counts + 1)
    )
    return torch.where(counts < 0.5, zero, positive)


def mean_over(
    values: Float[Tensor, "cell gene"],
    *,
    scored: Bool[Tensor, "cell gene"] | None,
    padding: Bool[Tensor, "cell gene"] | None,
) -> Float[Tensor, ""]:
    """Mean over cells of the mean over the genes that count; a cell without any adds zero."""
    if scored is None and padding is None:
        return values.mean()
    counted = torch.ones_like(values, dtype=torch.bool) if scored is None else scored
    if padding is not None:
        counted = counted & ~padding
    return ((values * counted).sum(-1) / counted.sum(-1).clamp(min=1)).mean()
