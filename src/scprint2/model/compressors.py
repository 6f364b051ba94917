"""Slot `compressor`: a bottleneck on each cell embedding."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.model.context import BuildContext
from scprint2.model.perceptron import perceptron

WIDEST_SHARE = 4  # the widest latent of the paper (64) is a quarter of its tokens (256)
LOG_VARIANCE_BOUND = 8.0  # so that no draw overflows


@dataclass(frozen=True)
class CompressedCells:
    """What a bottleneck makes of cell embeddings.

    Attributes
    ----------
    embeddings
        As wide as before.
    latents
        What went through the bottleneck, per token; the embedding itself where there is none.
    divergence
        Of the latents from a standard normal distribution, in nats, summed over tokens; zero where nothing is drawn.
    """

    embeddings: Float[Tensor, "cell token dim"]
    latents: tuple[Float[Tensor, "cell _"], ...]
    divergence: Float[Tensor, " cell"]


class NoneConfig(Node):
    """No bottleneck."""

    kind: Literal["none"]

    def build(self, context: BuildContext, *, dim: int) -> "Identity":
        """Make the module for cell embeddings of width `dim`."""
        return Identity(context, dim=dim)


class Identity(nn.Module):
    """Leave the cell embeddings as they are."""

    def __init__(self, context: BuildContext, *, dim: int):
        super().__init__()
        self.widths = (dim,) * context.cell_tokens

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> CompressedCells:
        """Return the input."""
        divergence = torch.zeros(len(cells), device=cells.device)
        return CompressedCells(embeddings=cells, latents=cells.unbind(1), divergence=divergence)


class VaeConfig(Node):
    """A variational autoencoder per class: `widths` by class; finite scalar quantization below `quantized_below`."""

    kind: Literal["vae"]
    widths: dict[str, Annotated[int, Field(ge=1)]]
    quantized_below: int = Field(ge=1)
    levels: int = Field(ge=2)

    def build(self, context: BuildContext, *, dim: int) -> "Vae":
        """Make the module for cell embeddings of width `dim`."""
        return Vae(self, context, dim=dim)


class Vae(nn.Module):
    """Each class embedding through a bottleneck of its own; the free embedding, the last one, is left as it is.

    A latent is at most a quarter as wide as the embedding, which at the paper's size changes none.

    Raises
    ------
    ValueError
        If a class has no width.

    Source: "VAE-based compressor model"; widths in "Trunk"; eq. 18.
    """

    def __init__(self, config: VaeConfig, context: BuildContext, *, dim: int):
        super().__init__()
        classes = context.labels.classes
        missing = [name for name in classes if name not in config.widths]
        if missing:
            raise ValueError(f"no width for the classes {missing}; add them to model.compressor.widths")
        latents = [min(config.widths[name], max(1, dim // WIDEST_SHARE)) for name in classes]
        self.bottlenecks = nn.ModuleList(
            Quantized(dim, width, levels=config.levels)
            if config.widths[name] < config.quantized_below
            else Gaussian(dim, width)
            for name, width in zip(classes, latents, strict=True)
        )
        self.widths = (*latents, dim)

    def forward(self, cells: Float[Tensor, "cell token dim"]) -> CompressedCells:
        """Compress and decompress; the embeddings of a training pass hold noise, those of evaluation none."""
        *tokens, free = cells.unbind(1)
        parts = [bottleneck(token) for bottleneck, token in zip(self.bottlenecks, tokens, strict=True)]
        embeddings, latents, divergences = zip(*parts, strict=True)
        return CompressedCells(
            embeddings=torch.stack([*embeddings, free], dim=1),
            latents=(*latents, free),
            divergence=torch.stack(divergences).sum(0),
        )


class Gaussian(nn.Module):
    """Two-layer perceptrons down to the mean and log-variance of a normal distribution, and up from a draw of it.

    Source: Kingma and Welling 2014; "VAE-based compressor model".
    """

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.down = perceptron(dim, dim, 2 * width)
        self.up = perceptron(width, dim, dim)

    def forward(
        self, embedding: Float[Tensor, "cell dim"]
    ) -> tuple[Float[Tensor, "cell dim"], Float[Tensor, "cell latent"], Float[Tensor, " cell"]]:
        """Return the embedding from a draw (from the mean at evaluation), the draw, and its divergence."""
        mean, log_variance = self.down(embedding).float().chunk(2, dim=-1)
        log_variance = LOG_VARIANCE_BOUND * torch.tanh(log_variance / LOG_VARIANCE_BOUND)
        latent = mean
        if self.training:
            latent = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.up(latent).to(embedding.dtype), latent, divergence_from_standard_normal(mean, log_variance)


class Quantized(nn.Module):
    """Two-layer perceptrons down to values of few levels, each on its own, and up from them; it has no divergence.

    Source: Mentzer et al. 2023 (FSQ); "VAE-based compressor model".
    """

    def __init__(self, dim: int, width: int, *, levels: int):
        super().__init__()
        self.down = perceptron(dim, dim, width)
        self.up = perceptron(width, dim, dim)
        self.levels = levels

    def forward(
        self, embedding: Float[Tensor, "cell dim"]
    ) -> tuple[Float[Tensor, "cell dim"], Float[Tensor, "cell latent"], Float[Tensor, " cell"]]:
        """Return the embedding from the levels, the levels, and zeros."""
        latent = quantize(self.down(embedding).float(), levels=self.levels)
        return self.up(latent).to(embedding.dtype), latent, torch.zeros(len(embedding), device=embedding.device)


def divergence_from_standard_normal(
    mean: Float[Tensor, "cell latent"], log_variance: Float[Tensor, "cell latent"]
) -> Float[Tensor, " cell"]:
    """Kullback-Leibler divergence of normal distributions from N(0, 1), summed over dimensions, in nats."""
    return 0.5 * (mean.square() + torch.exp(log_variance) - 1 - log_variance).sum(-1)


def quantize(values: Float[Tensor, "*shape"], *, levels: int) -> Float[Tensor, "*shape"]:
    """Move tanh(value) to the nearest of `levels` evenly spaced values from -1 to 1; gradients pass as if it were tanh."""
    bounded = torch.tanh(values)
    steps = levels - 1
    nearest = torch.floor((bounded + 1) / 2 * steps + 0.5) * 2 / steps - 1
    return bounded + (nearest - bounded).detach()


CompressorConfig = Annotated[NoneConfig | VaeConfig, Field(discriminator="kind")]
