"""What a schema cannot say about an experiment: references between its parts."""

from collections.abc import Mapping
from typing import Any

NEEDED_DECODERS = {"zinb": ("zinb",), "bins": ("bins",)}  # what a loss reads that not every expression decoder predicts


def check_experiment(experiment: Mapping[str, Any], *, name: str) -> None:
    """Check the references inside an experiment; needs no torch, so that a workflow can run it for all variants.

    Raises
    ------
    ValueError
        If a decode view does not follow its source or the model has no cell decoder, a loss names a view that is not there or
        does not fit the expression decoder, or heads do not divide the width.
    """
    views = list(experiment["views"])
    for position, (view, settings) in enumerate(experiment["views"].items()):
        source = settings.get("source")
        if source is not None and experiment["model"]["cell_decoder"]["kind"] == "none":
            raise ValueError(
                f"{name}: view {view!r} decodes cell embeddings, but model.cell_decoder is none; "
                "remove the view or choose a decoder"
            )
        if source is not None and source not in views[:position]:
            raise ValueError(
                f"{name}: view {view!r} decodes {source!r}, which must be a view before it; views before it: {views[:position]}"
            )
    decoder = experiment["model"]["expression_decoder"]["kind"]
    for loss, settings in experiment["losses"].items():
        needed = NEEDED_DECODERS.get(settings["kind"], (decoder,))
        if decoder not in needed:
            raise ValueError(
                f"{name}: loss {loss!r} needs an expression decoder of kind {needed[0]!r}; found {decoder!r}"
            )
        missing = [view for view in settings["views"] if view not in views]
        if missing:
            raise ValueError(f"{name}: loss {loss!r} reads the views {missing}, which do not exist; known: {views}")
    dim, heads = experiment["model"]["dim"], experiment["model"]["trunk"]["heads"]
    key_heads = experiment["model"]["trunk"]["kv_heads"]
    if dim % heads or heads % key_heads:
        raise ValueError(
            f"{name}: heads must divide dim and kv_heads must divide heads; found dim {dim}, heads {heads}, kv_heads {key_heads}"
        )
