"""Initial values of layers that start otherwise than the rest."""

import torch
from torch import nn


def draw_uniform(layers: tuple[nn.Linear, ...], rng: torch.Generator) -> None:
    """Draw weights and biases of layers uniform in [-1, 1] / sqrt(inputs)."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -(layer.in_features**-0.5), layer.in_features**-0.5, generator=rng)
