"""Chunks: what is done is not done again, whatever happens in between."""

import errno
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pytest

from scprint2.data import chunks
from scprint2.data.chunk_plan import chunk_of, count_chunks, plan_chunks
from scprint2.data.chunks import ChunkPlace, Recipe, process_chunk, process_dataset
from scprint2.data.corpora import resolve_corpora
from scprint2.data.genes import GeneTable
from scprint2.data.label_names import LabelNames
from scprint2.data.manifests import Listed, write_manifest
from scprint2.data.raw_sources import Downloads, Folder, Simulator, link_file
from scprint2.data.registry import Dataset
from scprint2.data.shard import Shard
from tests.data.raw import HUMAN, SETTINGS, gene_table, raw_cells
from tests.helpers import ROOT


@dataclass
class Counted:
    """A folder of raw files that remembers what it was asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)

    def origin(self, dataset):
        return Folder(self.folder).origin(dataset)

    def get(self, dataset, target):
        self.asked.append(dataset.name)
        Folder(self.folder).get(dataset, target)


RECIPE = Recipe(SETTINGS, 0.1, {HUMAN: gene_table()}, labels={}, ontologies={})


@pytest.fixture
def place(tmp_path):
    return ChunkPlace(tmp_path / "raw", tmp_path / "processed", tmp_path / "scratch")


def write_raw(folder, names, *, cells=60):
    """Write a raw file for each name and return the rows of a registry."""
    folder.mkdir(exist_ok=True)
    for name in names:
        raw_cells(cells, seed=sum(name.encode())).write_h5ad(folder / f"{name}.h5ad")
    return [Dataset(name, HUMAN) for name in names]


@pytest.fixture
def source(tmp_path):
    return Counted(tmp_path / "files")


def shard_bytes(place, name):
    return {file.name: file.read_bytes() for file in (place.processed / name / "shard").iterdir()}


def test_a_dataset_belongs_to_the_first_corpus_that_lists_it_and_to_a_chunk_by_its_name_alone():
    corpora = {"small": ["a", "b"], "large": ["b", "c", "a"], "same": ["a"]}
    planned = plan_chunks(corpora, 256)
    assert {name: key[0] for key, names in planned.items() for name in names} == {
        "a": "small",
        "b": "small",
        "c": "large",
    }
    assert planned["large", chunk_of("c", 16)] == ["c"]
    more = plan_chunks(corpora | {"large": ["new", "b", "c"]}, 256)
    assert all(set(names) <= set(more[key]) for key, names in planned.items())


@pytest.mark.parametrize(
    ("datasets", "chunks"), [(1, 16), (256, 16), (257, 32), (500, 32), (1000, 64), (4096, 256), (26_332, 256)]
)
def test_a_corpus_gets_chunks_by_its_size_up_to_the_most(datasets, chunks):
    assert count_chunks(datasets, 256) == chunks
    assert count_chunks(datasets, 8) == 8
    planned = plan_chunks({"only": [f"srx{number}" for number in range(datasets)]}, 256)
    assert len(planned) == min(datasets, chunks)


def test_a_corpus_that_grows_only_has_its_chunks_cut_in_two():
    names = [f"srx{number}" for number in range(300)]
    before, after = plan_chunks({"only": names[:256]}, 256), plan_chunks({"only": names}, 256)
    for (corpus, chunk), held in before.items():
        halves = [after.get((corpus, f"{number:03d}"), []) for number in (int(chunk), int(chunk) + 16)]
        assert set(held) <= {name for half in halves for name in half}


def test_chunks_of_many_datasets_are_of_like_size():
    planned = plan_chunks({"all": [f"srx{number}" for number in range(26_332)]}, 256)
    sizes = [len(names) for names in planned.values()]
    assert len(sizes) == 256
    assert (sum(sizes), min(sizes) > 60, max(sizes) < 150) == (26_332, True, True)


def test_what_is_done_is_not_done_again(place, source):
    datasets = write_raw(source.folder, ["one", "two"])
    first = process_chunk(datasets, source, RECIPE, place)
    assert source.asked == ["one", "two"]
    before = {name: (place.processed / name / "shard").stat().st_ino for name in ("one", "two")}
    assert process_chunk([*datasets, *write_raw(source.folder, ["three"])], source, RECIPE, place) == first | {
        "three": process_dataset(Dataset("three", HUMAN), source, RECIPE, place) | {"status": "done"}
    }
    assert source.asked == ["one", "two", "three"]
    assert {name: (place.processed / name / "shard").stat().st_ino for name in ("one", "two")} == before


def table_with(column):
    """The gene table with another entry of one column."""
    frame = gene_table().frame
    frame.loc[5, column] = "other"
    return GeneTable(HUMAN, frame)


CHANGED_RECIPES = {
    "settings": {"settings": SETTINGS.model_copy(update={"deviations": 4.0})},
    "share": {"validation_share": 0.2},
    "labels": {"labels": {"one": LabelNames({("sex", "?"): "unknown"}, {})}},
    "gene_id": {"tables": {HUMAN: table_with("gene_id")}},
    "symbol": {"tables": {HUMAN: table_with("symbol")}},
    "aliases": {"tables": {HUMAN: table_with("aliases")}},
}
CHANGED_DATASETS = {"registry": {"batch_key": "donor_id"}, "tissue": {"tissue": "blood"}}


@pytest.mark.parametrize("change", [*CHANGED_RECIPES, *CHANGED_DATASETS, "raw file", "shard"])
def test_what_a_shard_depends_on_makes_it_again(place, source, change):
    (dataset,) = write_raw(source.folder, ["one"])
    process_dataset(dataset, source, RECIPE, place)
    recipe = replace(RECIPE, **CHANGED_RECIPES.get(change, {}))
    dataset = replace(dataset, **CHANGED_DATASETS.get(change, {}))
    if change == "raw file":
        write_raw(source.folder, ["one"], cells=70)
    if change == "shard":
        (place.processed / "one/shard/header.json").unlink()
    process_dataset(dataset, source, recipe, place)
    assert source.asked == ["one", "one"]


def test_ontologies_make_a_shard_again_by_their_content_and_not_by_their_place(place, source, tmp_path, monkeypatch):
    (dataset,) = write_raw(source.folder, ["one"])
    files = [tmp_path / name for name in ("cl.obo", "moved.obo")]
    for file in files:
        file.write_text("[Term]\nid: CL:0000624\nname: one\n")

    def times_made(recipe):
        process_dataset(dataset, source, replace(recipe), place)
        return len(source.asked)

    pinned, moved = (replace(RECIPE, ontologies={"CL": str(file)}) for file in files)
    assert [times_made(recipe) for recipe in (RECIPE, pinned, moved, pinned)] == [1, 2, 2, 2]
    files[0].write_text("[Term]\nid: CL:0000624\nname: two\n")
    assert [times_made(pinned), times_made(pinned)] == [3, 3]
    monkeypatch.setattr("scprint2.data.chunks.guide_version", lambda: "another")
    assert times_made(pinned) == 4


def test_a_shard_is_used_after_its_raw_file_was_deleted_and_licence_and_roles_do_not_matter(place, source):
    (dataset,) = write_raw(source.folder, ["one"])
    process_dataset(dataset, source, RECIPE, place)
    (place.raw / "one.h5ad").unlink()
    process_dataset(replace(dataset, licence="other", roles=("curated",)), source, RECIPE, place)
    assert source.asked == ["one"]


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    adata = raw_cells(30)
    adata.obs["is_primary_data"] = False
    adata.write_h5ad(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(truncated, "truncated"), (empty, "leaves no cell"), (os.remove, "there is no such file")],
)
def test_one_bad_dataset_among_many_is_reported_with_its_reason_and_the_others_are_done(place, source, spoil, reason):
    names = [f"set_{number}" for number in range(20)]
    datasets = write_raw(source.folder, names, cells=25)
    spoil(source.folder / "set_7.h5ad")
    report = process_chunk(datasets, source, RECIPE, place)
    assert {name for name, entry in report.items() if entry["status"] == "done"} == set(names) - {"set_7"}
    assert reason in report["set_7"]["reason"]
    assert not (place.processed / "set_7/shard").exists()


def test_more_failures_than_a_public_collection_has_are_refused_and_what_is_done_stays_done(place, source):
    datasets = write_raw(source.folder, ["good", "bad", "worse"])
    for name in ("bad", "worse"):
        truncated(source.folder / f"{name}.h5ad")
    with pytest.raises(ValueError, match=r"2 of 3 datasets failed, at most 1 may:\n  bad: .*truncated") as error:
        process_chunk(datasets, source, RECIPE, place)
    assert "`exclude: [bad, worse]` in the rule of a corpus" in str(error.value)
    write_raw(source.folder, ["bad", "worse"])
    assert {entry["status"] for entry in process_chunk(datasets, source, RECIPE, place).values()} == {"done"}
    assert source.asked == ["good", "bad", "worse", "bad", "worse"]


@pytest.mark.parametrize(("datasets", "allowed"), [(1, 1), (16, 1), (39, 1), (40, 2), (150, 7)])
def test_one_dataset_of_a_small_chunk_may_fail_and_a_twentieth_of_a_large_one(monkeypatch, place, datasets, allowed):
    def process(dataset, *_):
        if int(dataset.name) < broken:
            raise ValueError("broken")
        return {}

    monkeypatch.setattr("scprint2.data.chunks.process_dataset", process)
    rows = [Dataset(str(number), HUMAN) for number in range(datasets)]
    broken = allowed
    report = process_chunk(rows, Counted(place.raw), RECIPE, place)
    assert sum(entry["status"] == "failed" for entry in report.values()) == allowed
    broken = allowed + 1
    if broken <= datasets:
        with pytest.raises(ValueError, match=f"{broken} of {datasets} datasets failed, at most {allowed} may"):
            process_chunk(rows, Counted(place.raw), RECIPE, place)


def test_a_full_disk_ends_the_job_and_leaves_nothing_behind(place, source, monkeypatch):
    (dataset,) = write_raw(source.folder, ["one"])

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("scprint2.data.shard_writer.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        process_chunk([dataset], source, RECIPE, place)
    assert not (place.processed / "one/done.json").exists()
    assert not (place.processed / "one/shard").exists()
    assert not list(place.scratch.rglob("counts-*"))


def test_two_jobs_on_one_dataset_do_not_mix(place, source, monkeypatch):
    monkeypatch.setattr(chunks, "LOCK_SECONDS", 0.1)
    (dataset,) = write_raw(source.folder, ["one"])

    class Greedy(Counted):
        def get(self, dataset, target):
            process_dataset(dataset, source, RECIPE, place)

    with pytest.raises(RuntimeError, match="another job processes this dataset"):
        process_dataset(dataset, Greedy(source.folder), RECIPE, place)


def test_a_lock_that_is_given_back_in_time_is_taken(place, source):
    (dataset,) = write_raw(source.folder, ["one"])
    folder = place.scratch / "one"
    folder.mkdir(parents=True)
    hold = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print(1, flush=True); time.sleep(0.5)"
    )
    with subprocess.Popen([sys.executable, "-c", hold, str(folder / "lock")], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert process_dataset(dataset, source, RECIPE, place)["organism"] == HUMAN


RUN = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.data import test_chunks as t
place = t.ChunkPlace(*(Path({folder!r}) / name for name in ("raw", "processed", "scratch")))
print("ready", flush=True)
t.process_chunk([t.Dataset(name, t.HUMAN) for name in {names!r}], t.Folder(Path({files!r})), t.RECIPE, place)
"""


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_after_a_kill_at_any_time_the_rest_is_done_and_the_shards_are_those_of_an_undisturbed_run(
    tmp_path, source, share
):
    names = ["one", "two", "three", "four"]
    datasets = write_raw(source.folder, names, cells=120)
    calm, killed = (
        ChunkPlace(*(tmp_path / kind / part for part in ("raw", "processed", "scratch"))) for kind in ("a", "b")
    )
    start = time.perf_counter()
    process_chunk(datasets, source, RECIPE, calm)
    whole = time.perf_counter() - start
    code = RUN.format(root=str(ROOT), folder=str(tmp_path / "b"), names=names, files=str(source.folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ) as job:
        assert job.stdout is not None
        job.stdout.readline()
        time.sleep(share * whole)
        job.kill()
    left = [path.parent.name for path in killed.processed.glob("*/done.json")]
    source.asked.clear()
    process_chunk(datasets, source, RECIPE, killed)
    assert source.asked == [name for name in names if name not in left]
    for name in names:
        assert shard_bytes(killed, name) == shard_bytes(calm, name)
    assert not [path for path in (tmp_path / "b").rglob("*") if path.name.startswith((".tmp-", "counts-"))]


def test_a_simulated_dataset_depends_on_the_numbers_of_its_world_and_a_file_on_its_checksum():
    dataset = Dataset("one", HUMAN, file="one.h5ad")
    assert Simulator({"seed": 1}).origin(dataset) != Simulator({"seed": 2}).origin(dataset)
    files = [Folder(Path("a")), Folder(Path("b")), Downloads([], "sums.tsv"), Downloads(["mirror"], "sums.tsv")]
    assert len({RECIPE.key(dataset, origin=source.origin(dataset)) for source in files}) == 1
    known = replace(dataset, sha256="0" * 64)
    assert files[0].origin(known) != files[0].origin(dataset)


def test_a_download_is_checked_by_the_table_of_checksums_and_an_archive_is_refused(tmp_path):
    (tmp_path / "mirror").mkdir()
    (dataset,) = write_raw(tmp_path / "mirror", ["one"])
    source = Downloads([str(tmp_path / "mirror")], tmp_path / "checksums.tsv")
    source.get(dataset, tmp_path / "raw/one.h5ad")
    assert "one.h5ad" in (tmp_path / "checksums.tsv").read_text()
    write_raw(tmp_path / "mirror", ["one"], cells=70)
    with pytest.raises(ValueError, match="one.h5ad"):
        source.get(dataset, tmp_path / "raw/again.h5ad")
    with pytest.raises(ValueError, match="archives are unpacked for test sets only"):
        source.get(replace(dataset, file="one.tar"), tmp_path / "raw/one.h5ad")


def test_labels_of_a_dataset_are_read_with_its_own_table_and_reported(place, source):
    raw = raw_cells(60)
    raw.obs["sex"] = "f"
    raw.obs = raw.obs.drop(columns=[name for name in raw.obs if str(name).startswith("sex_")])
    source.folder.mkdir()
    for name in ("with", "without"):
        raw.write_h5ad(source.folder / f"{name}.h5ad")
    recipe = replace(RECIPE, labels={"with": LabelNames({("sex", "f"): "PATO:0000383"}, {})})
    found = {}
    for name in ("with", "without"):
        process_dataset(Dataset(name, HUMAN), source, recipe, place)
        report = pd.read_csv(place.processed / name / "labels.tsv", sep="\t").set_index(["class", "label"])
        found[name] = (report.loc[("sex", "f"), "by"], Shard.open(place.processed / name / "shard").terms["sex"])
    assert found["with"] == ("table", ["PATO:0000383"])
    assert found["without"][1] == []


def test_labels_that_only_the_listing_knows_reach_the_shard(place, source, tmp_path):
    raw = raw_cells(60)
    raw.obs = raw.obs[["donor_id"]]
    source.folder.mkdir()
    raw.write_h5ad(source.folder / "SRX1.h5ad")
    listed = Listed(
        "scbase_srx1", HUMAN, ("https://x/SRX1.h5ad",), "SRX1.h5ad", tissue="blood", assay="10x 5_prime_gex"
    )
    write_manifest(tmp_path / "scbasecount.tsv", [listed], comment="c")
    rules = {"all": {"manifests": ["scbasecount"]}}
    dataset = resolve_corpora(rules, {}, folder=tmp_path, where="test").datasets["scbase_srx1"]
    process_dataset(dataset, source, RECIPE, place)
    terms = Shard.open(place.processed / "scbase_srx1/shard").terms
    assert (terms["tissue"], terms["assay"]) == (["UBERON:0000178"], ["EFO:0030004"])
    report = pd.read_csv(place.processed / "scbase_srx1/labels.tsv", sep="\t").set_index("class")
    assert report.loc[["tissue", "assay"], "column"].tolist() == ["listing", "listing"]


def test_a_link_is_made_to_the_file_that_the_registry_means_and_to_no_other(tmp_path):
    (dataset,) = write_raw(tmp_path / "files", ["one"])
    link_file(tmp_path / "files/one.h5ad", tmp_path / "raw/one.h5ad", sha256="")
    assert (tmp_path / "raw/one.h5ad").resolve() == tmp_path / "files/one.h5ad"
    with pytest.raises(ValueError, match="sha256 is [0-9a-f]{64}, the registry says 0{64}"):
        Folder(tmp_path / "files").get(replace(dataset, sha256="0" * 64), tmp_path / "raw/two.h5ad")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["one.h5ad"]
