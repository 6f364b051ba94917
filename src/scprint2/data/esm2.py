"""ESM2 through the package transformers, which is an extra of its own (`esm`)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

WEIGHTS = "model.safetensors"
SPECIAL_TOKENS = 2  # <cls> before a sequence, <eos> behind it


class Esm2:
    """An ESM2 model as an encoder of proteins; fp32.

    Source: Lin 2023, doi:10.1126/science.ade2574; MIT licence.

    Attributes
    ----------
    record
        Model, sha256 of its weights, and how the vectors are made.
    window
        Residues that it reads at once: 1,022 for the released models.
    """

    def __init__(self, model: str, *, device: str) -> None:
        transformers = _transformers()
        try:
            weights = transformers.utils.cached_file(model, WEIGHTS, local_files_only=True)
            self._tokenizer = transformers.EsmTokenizer.from_pretrained(model, local_files_only=True)
            network = transformers.EsmModel.from_pretrained(
                model, local_files_only=True, use_safetensors=True, add_pooling_layer=False, dtype=torch.float32
            )
        except OSError as error:
            raise ValueError(
                f"{model}: no ESM2 model that can be loaded ({' '.join(str(error).split())[:200]}). Give a folder with "
                f"config.json, vocab.txt and {WEIGHTS}, or a model in the cache of Hugging Face; nothing is downloaded here."
            ) from error
        self._network = network.eval().to(device)
        self.dim = int(network.config.hidden_size)
        self.window = int(network.config.max_position_embeddings) - SPECIAL_TOKENS - 2  # two places stand for padding
        with open(str(weights), "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.record = {"model": Path(model).name, "sha256": digest, "pooling": "mean over residues, fp32"}

    @torch.inference_mode()
    def encode(self, windows: Sequence[str]) -> Float[np.ndarray, "window dim"]:
        """Sum of the last layer's residue vectors of each window."""
        tokens = self._tokenizer(list(windows), return_tensors="pt", padding=True)
        expected = torch.tensor([len(window) + SPECIAL_TOKENS for window in windows])
        if not torch.equal(tokens["attention_mask"].sum(dim=1), expected):
            raise ValueError(
                f"the tokenizer does not read one token per residue; a sequence begins {windows[0][:20]!r}."
            )
        tokens = tokens.to(self._network.device)
        hidden = self._network(**tokens).last_hidden_state.float()
        residues = tokens["attention_mask"].clone()
        residues[:, 0] = 0
        residues.scatter_(1, residues.new_tensor(expected.tolist())[:, None] - 1, 0)
        return torch.einsum("wrd,wr->wd", hidden, residues.to(hidden.dtype)).cpu().numpy()


def _transformers():
    try:
        import transformers  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "ESM2 needs the package transformers, which is not installed: pip install 'scprint2[esm]'. Or give a table of "
            "vectors of any model as the scale's gene_embedding (docs/references.md)."
        ) from error
    return transformers
