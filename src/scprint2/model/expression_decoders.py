"""Slot `expression_decoder`: from output embeddings to a distribution of counts."""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.outputs import BinnedOutput, ExpressionOutput

LOG_DISPERSION_BOUND = 8.0  # exp(8) is Poisson for all that counts can tell, exp(-8) as wide as fp32 sums bear
SMALLEST_BIN = 1e-6
LEAST = -1e30


class ZinbConfig(Node):
    """Parameters of a zero-inflated negative binomial."""

    kind: Literal["zinb"]

    def build(self, context: BuildContext) -> "Zinb":
        """Make the module."""
        return Zinb(context.dim)


class _Perceptron(nn.Module):
    """A perceptron [dim + 1, dim, outputs] on each gene's output embedding beside log2(1 + depth).

    Depth enters here and nowhere else. The product with a (dim + 1)-wide matrix is Linear(dim) + depth * w, which is the same
    and aligned in memory.
    """

    def __init__(self, dim: int, *, outputs: int):
        super().__init__()
        self.hidden = nn.Linear(dim, dim)
        self.depth = nn.Linear(1, dim, bias=False)
        self.output = nn.Linear(dim, outputs)

    def values(
        self, genes: Float[Tensor, "cell gene dim"], depth: Float[Tensor, " cell"]
    ) -> Float[Tensor, "cell gene output"]:
        """Return the outputs in fp32."""
        at_depth = self.depth(torch.log2(1 + depth)[:, None])[:, None, :]
        return self.output(nn.functional.gelu(self.hidden(genes) + at_depth, approximate="tanh")).float()


class Zinb(_Perceptron):
    """Share of the counts in context (softmax over its genes) times their number, dispersion and zero inflation.

    Source: "Expression Decoder", eq. 16; the mean as in Lopez et al. 2018 (scVI).
    """

    def __init__(self, dim: int):
        super().__init__(dim, outputs=3)

    def forward(
        self,
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> ExpressionOutput:
        """Return fp32 parameters for cells of the given depth, of which `library` counts fall on the genes in context."""
        return zinb_output(self.values(genes, depth), library=library, padding=padding)


def zinb_output(
    values: Float[Tensor, "cell gene 3"], *, library: Float[Tensor, " cell"], padding: Bool[Tensor, "cell gene"] | None
) -> ExpressionOutput:
    """From the share's logit, the log-dispersion and the zero logit of each gene to fp32 parameters of a ZINB."""
    share, log_dispersion, zero_logit = values.float().unbind(-1)
    bound = LOG_DISPERSION_BOUND
    return ExpressionOutput(
        mean=expected_counts(share, library=library, padding=padding),
        dispersion=torch.exp(bound * torch.tanh(log_dispersion / bound)),
        zero_logit=zero_logit,
    )


class ScalarConfig(Node):
    """The expected counts alone."""

    kind: Literal["scalar"]

    def build(self, context: BuildContext) -> "Scalar":
        """Make the module."""
        return Scalar(context.dim)


class Scalar(_Perceptron):
    """Expected counts as in `Zinb`, without a distribution: its dispersion is infinite and nothing is inflated.

    Source: "Additive benchmark", "MSE".
    """

    def __init__(self, dim: int):
        super().__init__(dim, outputs=1)

    def forward(
        self,
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> ExpressionOutput:
        """Return the expected counts of cells of the given depth, of which `library` fall on the genes in context."""
        mean = expected_counts(self.values(genes, depth)[..., 0], library=library, padding=padding)
        infinite = torch.full_like(mean, float("inf"))
        return ExpressionOutput(mean=mean, dispersion=infinite, zero_logit=-infinite)


class BinsConfig(Node):
    """Logits over the quantile bins of a cell's counts."""

    kind: Literal["bins"]
    bins: int = Field(ge=3)

    def build(self, context: BuildContext) -> "Bins":
        """Make the module."""
        return Bins(context.dim, bins=self.bins)


class Bins(_Perceptron):
    """A class per bin. A bin is no count: the expected bins stand for shares of the counts in context.

    Source: "Additive benchmark", "binning"; Cui et al. 2024 (scGPT).
    """

    def __init__(self, dim: int, *, bins: int):
        super().__init__(dim, outputs=bins)

    def forward(
        self,
        genes: Float[Tensor, "cell gene dim"],
        *,
        depth: Float[Tensor, " cell"],
        library: Float[Tensor, " cell"],
        padding: Bool[Tensor, "cell gene"] | None,
    ) -> BinnedOutput:
        """Return logits of bins, and counts that add up to `library`."""
        logits = self.values(genes, depth)
        bins = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
        expected = (logits.softmax(-1) * bins).sum(-1)
        mean = expected_counts(torch.log(expected.clamp(min=SMALLEST_BIN)), library=library, padding=padding)
        infinite = torch.full_like(mean, float("inf"))
        return BinnedOutput(mean=mean, dispersion=infinite, zero_logit=-infinite, bin_logits=logits)


def expected_counts(
    share: Float[Tensor, "cell gene"], *, library: Float[Tensor, " cell"], padding: Bool[Tensor, "cell gene"] | None
) -> Float[Tensor, "cell gene"]:
    """Divide `library` counts among genes by a softmax of their shares; padding gets none."""
    shares = share.softmax(-1) if padding is None else softmax_of_visible(share, padding)
    return shares * library.float().clamp(min=1.0)[:, None]


def softmax_of_visible(
    values: Float[Tensor, "cell gene"], padding: Bool[Tensor, "cell gene"]
) -> Float[Tensor, "cell gene"]:
    """Softmax over what is not padding; a row of padding alone is zero, not NaN."""
    return values.masked_fill(padding, LEAST).softmax(-1) * ~padding


ExpressionDecoder = Zinb | Scalar | Bins
ExpressionDecoderConfig = Annotated[ZinbConfig | ScalarConfig | BinsConfig, Field(discriminator="kind")]
