import builtins

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from scprint2.cli import app
from scprint2.data.esm2 import Esm2
from scprint2.data.protein_embeddings import cut, embed_proteins, join_vectors, read_record, write_vectors
from scprint2.data.proteins import write_proteins

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
VOCABULARY = (
    "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split()
)  # that of ESM2


class Composition:
    """A stand-in for a language model: a residue's vector is its letter, so a mean is the composition of the protein."""

    def __init__(self, window: int = 7, sha256: str = "1") -> None:
        self.record, self.dim, self.window = {"model": "composition", "sha256": sha256}, len(LETTERS), window
        self.batches: list[list[str]] = []

    def encode(self, windows):
        assert max(map(len, windows)) <= self.window
        self.batches.append(list(windows))
        return np.array([[window.count(letter) for letter in LETTERS] for window in windows], dtype=np.float32)


def proteins(count=20, longest=40, seed=0):
    rng = np.random.default_rng(seed)
    sequences = ["".join(rng.choice(list(LETTERS), size=rng.integers(1, longest))) for _ in range(count)]
    names = [f"G{number}" for number in range(count)]
    return pd.DataFrame({"gene_id": names, "protein_id": names, "chosen": "longest", "sequence": sequences})


def composition(table):
    return np.array([[sequence.count(letter) / len(sequence) for letter in LETTERS] for sequence in table["sequence"]])


@pytest.mark.parametrize("length", [1, 6, 7, 8, 14, 15, 100, 1023, 2044, 2045])
def test_a_long_protein_is_cut_into_as_few_windows_as_possible_of_like_length(length):
    sequence = "".join(LETTERS[place % 20] for place in range(length))
    pieces = cut(sequence, 7)
    assert "".join(pieces) == sequence
    assert len(pieces) == -(-length // 7)
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1


@pytest.mark.parametrize(("window", "batch", "shard"), [(7, 20, 3), (1022, 10_000, 512), (5, 1, 1)])
def test_a_vector_is_the_mean_over_all_residues_however_windows_and_batches_fall(tmp_path, window, batch, shard):
    table = proteins()
    found = embed_proteins(table, Composition(window), work=tmp_path, residues_per_batch=batch, genes_per_shard=shard)
    assert found.index.tolist() == table["gene_id"].tolist()
    np.testing.assert_allclose(found.to_numpy(), composition(table), atol=1e-6)


def test_batches_hold_windows_of_like_length_and_no_more_residues_than_allowed(tmp_path):
    encoder = Composition(window=50)
    embed_proteins(proteins(200, 50), encoder, work=tmp_path, residues_per_batch=120)
    assert len(encoder.batches) > 10
    assert all(len(batch) == 1 or max(map(len, batch)) * len(batch) <= 120 for batch in encoder.batches)
    padding = sum(max(map(len, batch)) * len(batch) - sum(map(len, batch)) for batch in encoder.batches)
    assert padding < 0.15 * sum(len(window) for batch in encoder.batches for window in batch)


def test_a_stopped_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path):
    class Stops(Composition):
        def encode(self, windows):
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().encode(windows)

    table = proteins(30)
    with pytest.raises(KeyboardInterrupt):
        embed_proteins(table, Stops(1022), work=tmp_path / "a", genes_per_shard=5)
    done = sorted((tmp_path / "a").glob("*.parquet"))
    assert len(done) == 3
    again = Composition(1022)
    found = embed_proteins(table, again, work=tmp_path / "a", genes_per_shard=5)
    assert len(again.batches) == 3, "the three shards that were done are not computed again"
    pd.testing.assert_frame_equal(
        found, embed_proteins(table, Composition(1022), work=tmp_path / "b", genes_per_shard=5)
    )
    assert not [path for path in (tmp_path / "a").iterdir() if path.name.startswith(".tmp")]


def test_shards_of_other_sequences_or_another_model_are_not_taken(tmp_path):
    table = proteins(4)
    embed_proteins(table, Composition(), work=tmp_path)
    for changed, encoder in ((table, Composition(sha256="2")), (table.assign(sequence="MKV"), Composition())):
        embed_proteins(changed, encoder, work=tmp_path)
        assert encoder.batches


def test_a_vector_that_is_not_finite_names_its_gene_and_leaves_no_shard(tmp_path):
    class Overflows(Composition):
        def encode(self, windows):
            return np.where(np.array([["W" in window] for window in windows]), np.inf, super().encode(windows))

    table = proteins(3).assign(sequence=["AAA", "AWA", "CCC"])
    with pytest.raises(ValueError, match="gene 'G1': the model's vector is not finite"):
        embed_proteins(table, Overflows(), work=tmp_path)
    assert not list(tmp_path.iterdir())


def test_tables_of_organisms_are_joined_if_they_come_from_one_model(tmp_path):
    one = embed_proteins(proteins(3), Composition(), work=tmp_path / "work")
    other = one.rename(index=lambda gene: f"M{gene}")
    write_vectors(one, tmp_path / "a.parquet", record={"model": "m", "sha256": "1"})
    write_vectors(other, tmp_path / "b.parquet", record={"model": "m", "sha256": "1"})
    join_vectors([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "all.parquet")
    assert pd.read_parquet(tmp_path / "all.parquet").index.tolist() == ["G0", "G1", "G2", "MG0", "MG1", "MG2"]
    assert read_record(tmp_path / "all.parquet") == {"model": "m", "sha256": "1"}
    write_vectors(other, tmp_path / "b.parquet", record={"model": "m", "sha256": "2"})
    with pytest.raises(ValueError, match="come from different models"):
        join_vectors([tmp_path / "a.parquet", tmp_path / "b.parquet"], tmp_path / "all.parquet")


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pip install 'scprint2\[esm\]'"):
        Esm2(str(tmp_path), device="cpu")


@pytest.fixture
def tiny_esm2(tmp_path):
    """An ESM2 of random weights, 32 wide, that reads 66 residues at once."""
    transformers = pytest.importorskip("transformers", reason="transformers (extra esm) is not installed")
    folder = tmp_path / "tiny_esm2"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    torch.manual_seed(0)
    config = transformers.EsmConfig(
        vocab_size=33,
        mask_token_id=32,
        pad_token_id=1,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=70,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    transformers.EsmModel(config, add_pooling_layer=False).save_pretrained(folder)
    transformers.EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def test_esm2_sums_residues_alone_and_does_not_see_padding(tiny_esm2):
    import transformers

    encoder = Esm2(str(tiny_esm2), device="cpu")
    assert (encoder.dim, encoder.window, len(encoder.record["sha256"])) == (32, 66, 64)
    windows = ["MKTAYIAKQRQISFVKSHFSRQ", "MKU", "XBZO"]
    together = encoder.encode(windows)
    np.testing.assert_allclose(together, np.concatenate([encoder.encode([window]) for window in windows]), atol=1e-5)
    network = transformers.EsmModel.from_pretrained(tiny_esm2, add_pooling_layer=False).eval()
    codes = torch.tensor([[0, *(VOCABULARY.index(letter) for letter in windows[0]), 2]])
    hidden = network(codes, attention_mask=torch.ones_like(codes)).last_hidden_state[0, 1:-1]
    np.testing.assert_allclose(together[0], hidden.sum(dim=0).detach().numpy(), atol=1e-4)


def test_esm2_from_the_command_line(tiny_esm2, tmp_path):
    table = proteins(6, 200)
    write_proteins(table, tmp_path / "proteins.tsv")
    arguments = ["--proteins", tmp_path / "proteins.tsv", "--model", tiny_esm2, "--work", tmp_path / "work"]
    done = CliRunner().invoke(app, ["embed-proteins", *map(str, arguments), "--out", str(tmp_path / "out.parquet")])
    assert done.exit_code == 0, done.output
    vectors = pd.read_parquet(tmp_path / "out.parquet")
    assert vectors.shape == (6, 32)
    assert vectors.index.tolist() == table["gene_id"].tolist()
    assert read_record(tmp_path / "out.parquet")["model"] == "tiny_esm2"


def test_a_folder_without_a_model_is_refused_and_nothing_is_downloaded(tmp_path):
    pytest.importorskip("transformers", reason="transformers (extra esm) is not installed")
    with pytest.raises(ValueError, match="no ESM2 model that can be loaded.*nothing is downloaded"):
        Esm2(str(tmp_path), device="cpu")
