"""What a component needs to know when it is built."""

from dataclasses import dataclass
from typing import Literal

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
    tables
        Whether a component reads its tables from the files that its configuration names, or leaves them empty because the
        weights of a stored model bring them.
    """

    dim: int
    genes: GeneVocabulary
    labels: LabelVocabulary
    gene_embedding: Float[Tensor, "vocabulary dim"]
    tables: Literal["files", "weights"] = "files"

    @property
    def cell_tokens(self) -> int:
        """Number of cell embeddings: one per class and a free one."""
        return len(self.labels.classes) + 1
