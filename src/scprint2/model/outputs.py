"""What a model returns."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class ExpressionOutput:
    """Parameters of the predicted distribution of counts, in fp32.

    Attributes
    ----------
    mean
        Expected counts before zero inflation, at the depth that was asked for.
    dispersion
        Inverse dispersion (theta) of the negative binomial.
    zero_logit
        Logit of the zero inflation.
    """

    mean: Float[Tensor, "cell gene"]
    dispersion: Float[Tensor, "cell gene"]
    zero_logit: Float[Tensor, "cell gene"]


@dataclass(frozen=True)
class BinnedOutput(ExpressionOutput):
    """Counts predicted as bins.

    Attributes
    ----------
    bin_logits
        Logits of the bins of each count.
    """

    bin_logits: Float[Tensor, "cell gene bin"]


@dataclass(frozen=True)
class CellOutput:
    """Everything that one pass over a batch returns.

    Attributes
    ----------
    cell_embeddings
        One vector per class in the order of the label vocabulary, and the free (unsupervised) one last.
    gene_embeddings
        Output embedding of each gene in context.
    expression
        Predicted counts.
    logits
        Class name to logits over that class' leaves.
    divergence
        Of what the embeddings are made from to a standard normal distribution, in nats.
    adversary_logits
        What the adversary guesses from the embedding that it is set on; empty without one.
    scored
        True where a reconstruction loss reads the expression; None means everywhere.
    """

    cell_embeddings: Float[Tensor, "cell token width"]
    gene_embeddings: Float[Tensor, "cell gene dim"]
    expression: ExpressionOutput
    logits: Mapping[str, Float[Tensor, "cell _"]]
    divergence: Float[Tensor, " cell"]
    adversary_logits: Mapping[str, Float[Tensor, "cell _"]]
    scored: Bool[Tensor, "cell gene"] | None = None
