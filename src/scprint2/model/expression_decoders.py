"""Slot `expression_decoder`: from output embeddings to a distribution of counts."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.outputs import ExpressionOutput

LOG_DISPERSION_BOUND = 8.0  # exp(8) is Poisson for all that counts can tell, exp(-8) as wide as fp32 sums bear


class ZinbConfig(Node):
    """Parameters of a zero-inflated negative binomial."""

    kind: Literal["zinb"]

    def build(self, context: BuildContext) -> "Zinb":
        """Make the module."""
        return Zinb(context.dim)


class Zinb(nn.Module):
    """A perceptron [dim + 1, dim, 3] on each gene's output embedding beside log2(1 + depth).

    Depth enters here and nowhere else. The product with a (dim + 1)-wide matrix is Linear(dim) + depth * w, which is the same
    and aligned in memory. The mean is a share of the counts in context (softmax over its genes) times their number.

    Source: "Expression Decoder", eq. 16; the mean as in Lopez et al. 2018 (scVI).
    """

    def __init__(self, dim: int):
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.depth = nn.Linear(1, dim, bias=False)
        self.output = nn.Linear(dim, 3)

    def forward(
        self,
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> ExpressionOutput:
        """Return fp32 parameters for cells of the given depth, of which `library` counts fall on the genes in context."""
        at_depth = self.depth(torch.log2(1 + depth)[:, None])[:, None, :]
        values = self.output(nn.functional.gelu(self.hidden(genes) + at_depth, approximate="tanh"))
        return zinb_output(values, library=library, padding=padding)


def zinb_output(
    values: Float[Tensor, "cell gene 3"], *, library: Float[Tensor, " cell"], padding: Bool[Tensor, "cell gene"] | None
) -> ExpressionOutput:
    """From the share's logit, the log-dispersion and the zero logit of each gene to fp32 parameters of a ZINB."""
    share, log_dispersion, zero_logit = values.float().unbind(-1)
    if padding is not None:
        share = share.masked_fill(padding, float("-inf"))
    bound = LOG_DISPERSION_BOUND
    return ExpressionOutput(
        mean=share.softmax(-1) * library.float().clamp(min=1.0)[:, None],
        dispersion=torch.exp(bound * torch.tanh(log_dispersion / bound)),
        zero_logit=zero_logit,
    )


ExpressionDecoderConfig = ZinbConfig
