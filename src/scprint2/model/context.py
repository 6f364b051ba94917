"""What a component needs to know when it is built."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from scprint2.data.vocabulary import GeneVocabulary, LabelVocabulary


@dataclass(frozen=True)
class BuildContext:
    """Sizes and vocabularies that all components share.

    Attributes
    ----------
    dim
        Width of the tokens.
    genes, labels
        What the model knows, from its corpus.
    gene_embedding
        One vector per gene of the vocabulary, as wide as the tokens.
    """

    dim: int
    genes: GeneVocabulary
    labels: LabelVocabulary
    gene_embedding: Float[Tensor, "vocabulary dim"]

    @property
    def cell_tokens(self) -> int:
        """Number of cell embeddings: one per class and a free one."""
        return len(self.labels.classes) + 1
