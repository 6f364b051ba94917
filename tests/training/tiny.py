"""A corpus of random cells and a model of a few thousand weights: a training that takes a second."""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse
import torch
from anndata import AnnData

from scprint2.config.overlay import merge, resolve
from scprint2.data.corpus import Corpus, build_corpus
from scprint2.data.gene_embeddings import gene_embedding
from scprint2.data.genes import build_gene_table
from scprint2.data.shard_writer import write_shard
from scprint2.data.vocabulary import CLASSES
from scprint2.experiment import Experiment
from tests.helpers import CONFIG, make_batch, make_genes, make_labels, make_model

ORGANISM = "NCBITaxon:9606"
GENES = 60
CELLS = 240
TYPES = ["CL:0000236", "CL:0000084", "CL:0000540"]
TRAINING = {
    "batch_size": 8,
    "steps_per_epoch": 6,
    "epochs": 3,
    "validation_batches": 2,
    "warmup_steps": 4,
    "optimizer": {"learning_rate": 1e-3},
}


def experiment(variant: str = "base", *, config: Path = CONFIG, **training) -> Experiment:
    """Return a row's experiment, very small; keywords override values of `training`."""
    small = {
        "data": {"genes": {"max_genes": 24}},
        "model": {"dim": 16, "trunk": {"layers": 1, "heads": 2, "kv_heads": 2}},
        "training": TRAINING | training,
    }
    return Experiment.model_validate(merge(resolve(config, scale="mini", variant=variant), small))


def make_corpus(folder: Path) -> Path:
    """Write a corpus of random cells and return its manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    ids = [f"ENSG9{number:010d}" for number in range(GENES)]
    table = pd.DataFrame(
        {
            "gene_id": ids,
            "symbol": [f"GENE{number}" for number in range(GENES)],
            "biotype": "protein_coding",
            "chromosome": "1",
            "start": np.arange(GENES) * 20_000,
        }
    )
    table.to_csv(folder / "genes.tsv", sep="\t", index=False)
    genes = build_gene_table(folder / "genes.tsv", organism=ORGANISM)
    kind = rng.integers(len(TYPES), size=CELLS)
    rates = rng.gamma(0.7, 3.0, size=(len(TYPES), GENES))
    obs = {f"{name}_ontology_term_id": "unknown" for name in CLASSES}
    cells = AnnData(
        scipy.sparse.csr_matrix(rng.poisson(rates[kind]).astype(np.int32)),
        obs=pd.DataFrame(obs, index=[f"cell{number}" for number in range(CELLS)]),
        var=pd.DataFrame(index=ids),
    )
    cells.obs["cell_type_ontology_term_id"] = [TYPES[number] for number in kind]
    cells.obs["organism_ontology_term_id"] = ORGANISM
    cells.obs["cluster"] = kind.astype(str)
    cells.obs["cell_type_cluster"] = [f"{TYPES[number]}|{number}" for number in kind]
    cells.obs["donor_id"] = "donor"
    similar = [rng.choice(np.flatnonzero(kind == own), 6, replace=False) for own in kind]
    cells.obsm["neighbor"] = np.array(similar, dtype=np.int32)
    cells.obsm["neighbor_distance"] = np.sort(rng.random((CELLS, 6)).astype(np.float32), axis=1)
    cells.uns["scprint2"] = {"dataset": "tiny", "organism": ORGANISM}
    write_shard(cells, folder / "shard", gene_ids=ids, validation_share=0.2)
    build_corpus("tiny", [folder / "shard"], [genes], validation_share=0.2, leakage={}).save(folder / "tiny.json")
    return folder / "tiny.json"


def train(
    manifest: Path,
    folder: Path,
    *,
    tree: Experiment | None = None,
    seed: int = 0,
    budget_seconds: float | None = None,
    device: str = "cpu",
    **training,
) -> None:
    """Run a training in `folder`: `work` and `model` lie there. Without a tree it is that of `experiment`."""
    from scprint2.training import loop

    torch.set_num_threads(1)  # the order of sums, and with it the last bit, depends on the number of threads
    tree, corpus = tree or experiment(**training), Corpus.load(manifest)
    embedding = gene_embedding(corpus.genes, table=None, dim=tree.model.dim, seed=0)
    loop.pretrain(
        tree,
        corpus,
        seed=seed,
        work=folder / "work",
        out=folder / "model",
        gene_embedding=embedding,
        budget_seconds=budget_seconds,
        device=device,
    )


def losses(folder: Path) -> dict[tuple[int, str], list[str]]:
    """Read the published history: (step, split) to the text of every loss and the learning rate."""
    frame = pd.read_csv(folder / "model" / "history.csv", dtype=str)
    values = frame.drop(columns=["step", "epoch", "split", "seconds"])
    keys = zip(frame["step"].astype(int), frame["split"], strict=True)
    return dict(zip(keys, values.to_numpy().tolist(), strict=True))


def read_json(path: Path):
    return json.loads(path.read_text())


def train_disturbed(manifest: Path, folder: Path, *, place: str, step: int, number: int, **training) -> None:
    """Train in a process of its own that sends itself a signal: in an update, in the validation after a step, in a save.

    Every step is followed by a checkpoint, so that a kill costs one step. The process exits as the command line does.
    """
    from scprint2.training import checkpoint, loop
    from scprint2.training import step as step_module
    from scprint2.training.work import EXIT_UNFINISHED, Unfinished

    loop.CHECKPOINT_SECONDS = 0.0

    def strike(when: bool) -> None:
        if when:
            os.kill(os.getpid(), number)

    update, evaluate, write = step_module.Trainer.update, step_module.Trainer.evaluate, checkpoint.write_tensors
    done = {"step": -1}

    def struck_update(self, batch, *, step, learning_rate):
        done["step"] = step
        values = update(self, batch, step=step, learning_rate=learning_rate)
        strike(place == "update" and step == target)
        return values

    def struck_evaluate(self, batch, *, index):
        strike(place == "validation" and done["step"] == target)
        return evaluate(self, batch, index=index)

    def struck_write(path, tensors):
        checksum = write(path, tensors)
        if place == "save" and done["step"] == target:
            path.write_bytes(path.read_bytes()[:100])
            strike(when=True)
            path.unlink()
            checksum = write(path, tensors)
        return checksum

    target = step
    step_module.Trainer.update, step_module.Trainer.evaluate = struck_update, struck_evaluate
    checkpoint.write_tensors = struck_write
    try:
        train(manifest, folder, **training)
    except Unfinished:
        sys.exit(EXIT_UNFINISHED)


def train_with_little_disk(manifest: Path, folder: Path, limit: int) -> None:
    """Train in a process that cannot write files of more than `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    from scprint2.training import loop

    loop.CHECKPOINT_SECONDS = 0.0
    try:
        train(manifest, folder)
    except OSError as error:
        (folder / "error.txt").write_text(str(error))
        sys.exit(1)


def compile_whole_model() -> None:
    """Compile both ways through the model, and fail if a part of them cannot be compiled or computes something else."""
    model, batch = make_model(), make_batch(make_genes(), make_labels())
    model.eval()
    expected, _ = model(batch, step=0, seed=0)
    model.model.compile(backend="eager", fullgraph=True)
    model.model.decode = torch.compile(model.model.decode, backend="eager", fullgraph=True)
    assert torch.equal(model(batch, step=0, seed=0)[0], expected)
    with torch.no_grad():
        assert torch.equal(model(batch, step=0, seed=0)[0], expected)
