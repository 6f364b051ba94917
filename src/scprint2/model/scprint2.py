"""The model: one slot after the other. Read this file first."""

from collections.abc import Iterable, Iterator
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from scprint2.config.node import Node
from scprint2.data.batch import CellBatch
from scprint2.model.adversary import AdversaryConfig
from scprint2.model.cell_decoders import CellDecoderConfig, DecodingParts
from scprint2.model.cell_pooling import CellPoolingConfig
from scprint2.model.classifiers import ClassifierConfig
from scprint2.model.compressors import CompressorConfig
from scprint2.model.context import BuildContext
from scprint2.model.expression_decoders import ExpressionDecoderConfig
from scprint2.model.expression_encoders import ExpressionEncoderConfig
from scprint2.model.gene_encoders import GeneEncoderConfig
from scprint2.model.normalization import NormalizationConfig
from scprint2.model.outputs import CellOutput, ExpressionOutput
from scprint2.model.position_encoders import PositionEncoderConfig
from scprint2.model.trunk import Block, TrunkConfig
from scprint2.randomness import stream


class ScPrint2Config(Node):
    """Which component fills each slot, and the width of the tokens."""

    dim: int = Field(ge=2)
    initial_deviation: float = Field(gt=0)
    normalization: NormalizationConfig
    gene_encoder: GeneEncoderConfig
    position_encoder: PositionEncoderConfig
    expression_encoder: ExpressionEncoderConfig
    trunk: TrunkConfig
    cell_pooling: CellPoolingConfig
    compressor: CompressorConfig
    expression_decoder: ExpressionDecoderConfig
    cell_decoder: CellDecoderConfig
    classifier: ClassifierConfig
    adversary: AdversaryConfig


class ScPrint2(nn.Module):
    """A foundation model of single cells: genes with their counts in, cell embeddings, labels and expression out.

    Source: "scPRINT-2", figure 1c; the base of the additive benchmark fills the slots as in scPRINT-1.
    """

    def __init__(self, config: ScPrint2Config, context: BuildContext):
        super().__init__()
        self.known_genes = len(context.genes)
        self.normalization = config.normalization.build()
        self.gene_encoder = config.gene_encoder.build(context)
        self.position_encoder = config.position_encoder.build(context)
        self.expression_encoder = config.expression_encoder.build(context)
        self.trunk = config.trunk.build(context.dim, context=context)
        self.cell_pooling = config.cell_pooling.build(context, trunk=config.trunk)
        self.compressor = config.compressor.build(context, dim=self.cell_pooling.dim)
        self.expression_decoder = config.expression_decoder.build(context)
        self.cell_decoder = config.cell_decoder.build(context, dim=self.cell_pooling.dim)
        self.classifier = config.classifier.build(context, widths=self.compressor.widths)
        self.adversary = config.adversary.build(context, dim=self.cell_pooling.dim)

    def forward(
        self,
        batch: CellBatch,
        *,
        hidden: Bool[Tensor, "cell gene"] | None = None,
        depth: Float[Tensor, " cell"] | None = None,
        library: Float[Tensor, " cell"] | None = None,
    ) -> CellOutput:
        """Embed cells, classify them and reconstruct their expression.

        Parameters
        ----------
        batch
            What the model sees.
        hidden
            True where the counts are kept from the model.
        depth
            Total counts at which to reconstruct; the cell's own by default.
        library
            How many of them fall on the genes in context; by default the counts seen there, scaled by the change of depth.
        """
        depth, library = requested_counts(batch, depth=depth, library=library)
        cells, genes = self.cell_pooling.encode(
            self.gene_tokens(batch, hidden=hidden), trunk=self.trunk.over(batch.genes), padding=batch.padding
        )
        compressed = self.compressor(cells)
        return CellOutput(
            cell_embeddings=compressed.embeddings,
            gene_embeddings=genes,
            expression=self.expression_decoder(genes, depth=depth, library=library, padding=batch.padding),
            logits=self.classifier(compressed.latents),
            divergence=compressed.divergence,
            adversary_logits=self.adversary(compressed.embeddings),
        )

    def decode(
        self,
        cells: Float[Tensor, "cell token width"],
        batch: CellBatch,
        *,
        depth: Float[Tensor, " cell"] | None = None,
        library: Float[Tensor, " cell"] | None = None,
    ) -> ExpressionOutput:
        """Regenerate the expression of a batch's genes from cell embeddings; its counts are not read, but for their total."""
        depth, library = requested_counts(batch, depth=depth, library=library)
        parts = DecodingParts(
            pooling=self.cell_pooling, trunk=self.trunk.over(batch.genes), expression=self.expression_decoder
        )
        return self.cell_decoder(
            cells, self.identity_tokens(batch), depth=depth, library=library, padding=batch.padding, parts=parts
        )

    def identity_tokens(self, batch: CellBatch) -> Float[Tensor, "cell gene dim"]:
        """Tokens that say which genes are asked for, without expression (eq. 17).

        Where a batch has more genes than there are, each is encoded once, and one lookup finds the sum.
        """
        if batch.genes.numel() <= self.known_genes:
            return self.gene_encoder(batch.genes) + self.position_encoder(batch.genes)
        every = torch.arange(self.known_genes, device=batch.genes.device)[None]
        return nn.functional.embedding(batch.genes, (self.gene_encoder(every) + self.position_encoder(every))[0])

    def gene_tokens(
        self, batch: CellBatch, *, hidden: Bool[Tensor, "cell gene"] | None = None
    ) -> Float[Tensor, "cell gene dim"]:
        """Tokens of genes with their expression (eq. 15)."""
        expression = self.expression_encoder(
            self.normalization(batch.counts, batch.depth),
            self.normalization(batch.neighbor_counts, batch.depth),
            batch.neighbor_distances,
            hidden=hidden,
        )
        return self.identity_tokens(batch) + expression

    def queries_and_keys(
        self, batch: CellBatch
    ) -> Iterator[tuple[Float[Tensor, "cell head gene head_dim"], Float[Tensor, "cell head gene head_dim"]]]:
        """Yield the queries and keys of the genes, layer by layer (eqs. 25-27).

        Raises
        ------
        ValueError
            If genes do not look at genes in the attention of this model.
        """
        genes = batch.genes.shape[1]
        tokens, padding = self.cell_pooling.start(self.gene_tokens(batch), padding=batch.padding)
        tokens, padding = self.trunk.latents(tokens, padding)
        prior = self.trunk.prior(batch.genes, tokens=tokens.shape[1])
        blocks = list(cast(Iterable[Block], self.trunk.blocks))
        for layer, block in enumerate(blocks):
            if layer:  # the last block's output is not needed
                tokens = blocks[layer - 1](tokens, padding, prior=prior)
            query, key = block.attention.queries_and_keys(block.norm_1(tokens))
            yield query[:, :, -genes:], key[:, :, -genes:]


def requested_counts(
    batch: CellBatch, *, depth: Float[Tensor, " cell"] | None, library: Float[Tensor, " cell"] | None
) -> tuple[Float[Tensor, " cell"], Float[Tensor, " cell"]]:
    """Depth to reconstruct at, and the counts to expect on the genes in context."""
    depth = batch.depth if depth is None else depth
    if library is None:
        library = batch.counts.sum(-1) * depth / batch.depth.clamp(min=1.0)
    return depth, library


@runtime_checkable
class HasInitialValues(Protocol):
    """A component that starts otherwise than the rest."""

    def set_initial_values(self, rng: torch.Generator) -> None:
        """Set them, after all weights were drawn."""
        ...


@torch.no_grad()
def initialize(model: nn.Module, *, deviation: float, seed: int) -> None:
    """Set the initial weights: normal(0, deviation), biases zero, norms one; each drawn from (seed, name of the parameter).

    Source: "Optimization method".
    """
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.ndim > 1:
            draw = torch.empty(parameter.shape).normal_(0, deviation, generator=stream(seed, "initial", name))
            parameter.copy_(draw)
        else:
            parameter.zero_()
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, HasInitialValues):
            module.set_initial_values(stream(seed, "initial", name))
