"""How far apart cells of different domains (experimental batches, datasets, organisms) are embedded."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from scprint2.data.batch import CellBatch
from scprint2.model.outputs import CellOutput


class DomainDiscrepancy:
    """Maximum mean discrepancy between the domains of a batch in one embedding of its cells.

    Source: "Fine-tuning Task", eq. 21; D7, D114.
    """

    compares_cells = True

    def __init__(self, view: str, *, token: int):
        self.view, self.token = view, token

    def __call__(self, outputs: Mapping[str, CellOutput], batch: CellBatch) -> Float[Tensor, ""]:
        """Return the loss; 0 where the cells come from one domain.

        Raises
        ------
        ValueError
            If the batch names no domains.
        """
        if batch.domains is None:
            raise ValueError("the batch does not say which domain its cells come from")
        embedding = outputs[self.view].cell_embeddings[:, self.token].float()
        with torch.autocast(embedding.device.type, enabled=False):  # losses are computed in fp32 (D3)
            return maximum_mean_discrepancy(embedding, batch.domains)


def maximum_mean_discrepancy(points: Float[Tensor, "cell dim"], domains: Int[Tensor, " cell"]) -> Float[Tensor, ""]:
    """Mean over domains of MMD² to the cells of all others, with the energy distance kernel k(x, y) = -|x - y|.

    For two domains that is eq. 21, twice the same value. Cells of the domain -1 are left out.

    Source: "Fine-tuning Task", eq. 21; D114.
    """
    known = domains >= 0
    points, domains = points[known], domains[known]
    member = torch.nn.functional.one_hot(domains.long()).T.to(points.dtype)  # [domain, cell]
    member = member[member.sum(1) > 0]
    if len(member) < 2:
        return points.sum() * 0
    other = 1 - member
    member, other = member / member.sum(1, keepdim=True), other / other.sum(1, keepdim=True)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")

    def mean_distance(left: Tensor, right: Tensor) -> Tensor:
        return ((left @ distances) * right).sum(1)

    squared = 2 * mean_distance(member, other) - mean_distance(member, member) - mean_distance(other, other)
    return squared.mean()
