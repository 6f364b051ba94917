"""The rules that get files, against a server on this machine; and what a plan says of them."""

import gzip
import io
import re
import tarfile

import anndata
import pytest
import yaml

from scprint2.data.checksums import read_checksums
from tests.data.test_archives import matrix
from tests.data.web_server import Answer, run_site

COLUMNS = "name\torganism\turl\tfile\tbytes\troles\ttruth"


def add_download_scale(project, url, *, rows, truths=()):
    """Write `config/scales/down.yaml`: as mini, but its files are downloaded."""
    mini = yaml.safe_load((project / "config/scales/mini.yaml").read_text())
    (project / "config/down").mkdir()
    (project / "config/down/datasets.tsv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    header = "name\tfile\turl\tconverter\tcutoff\tmapping"
    (project / "config/down/truths.tsv").write_text("\n".join([header, *truths]) + "\n")
    down = mini | {
        "source": "download",
        "registry": "config/down/datasets.tsv",
        "organisms": "config/organisms.tsv",
        "corpora": {"curated": {"manifests": ["tahoe"], "most": 2}},
        "roles": {role: [] if role == "omni" else ["one"] for role in mini["roles"]},
        "gene_embedding": None,
    }
    (project / "config/scales/down.yaml").write_text(yaml.safe_dump(down, sort_keys=False))


def raw_tar():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("GSM1_filtered_feature_bc_matrix.h5")
        data = matrix(["a-1", "b-1"])
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def test_the_rules_fetch_convert_unpack_and_record(project):
    with run_site() as site:
        site.answers["/one"] = Answer(b"some cells", kind="application/octet-stream")
        site.answers["/raw.tar"] = Answer(raw_tar(), kind="application/x-tar")
        site.answers["/scores"] = Answer(b"P1_P2\t0.5\n", kind="text/plain")
        site.answers["/ids"] = Answer(b"P1\tGene_Name\tAAA\nP2\tGene_Name\tBBB\n", kind="text/plain")
        add_download_scale(
            project,
            site.url,
            rows=[
                f"one\tNCBITaxon:9606\t{site.url}/one\tone.h5ad\t10\tlung\tnet",
                f"samples\tNCBITaxon:9606\t{site.url}/raw.tar\traw.tar\t\tspatial\t",
            ],
            truths=[
                f"net\tscores.txt\t{site.url}/scores\tprotein_pairs\t0.4\tids",
                f"ids\tids.dat\t{site.url}/ids\tnone\t\t",
            ],
        )
        targets = ["datasets/one.h5ad", "datasets/samples.h5ad", "truth/net.tsv.gz"]
        project.run(*(f"resources/down/{target}" for target in targets), "--config", "scale=down")
    assert (project / "resources/down/datasets/one.h5ad").read_bytes() == b"some cells"
    assert anndata.read_h5ad(project / "resources/down/datasets/samples.h5ad").shape == (2, 3)
    edges = gzip.decompress((project / "resources/down/truth/net.tsv.gz").read_bytes()).decode()
    assert edges == "regulator\ttarget\nAAA\tBBB\nBBB\tAAA\n"
    learnt = read_checksums(project / "config/checksums.tsv")
    assert {"one.h5ad", "raw.tar", "scores.txt", "ids.dat"} <= set(learnt)
    assert sorted(path for path in site.paths()) == ["/ids", "/one", "/raw.tar", "/scores"]
    assert project.plan("resources/down/datasets/one.h5ad", "--config", "scale=down", "mirror=elsewhere") == {}


def test_a_truth_that_is_not_registered_is_named_with_those_that_are(project):
    rows = ["one\tNCBITaxon:9606\thttp://127.0.0.1:9/one\tone.h5ad\t\tlung\ttypo"]
    add_download_scale(project, "", rows=rows, truths=["net\tnet.csv\t\tedges\t\t"])
    printed = project.run("resources/down/truth/typo.tsv.gz", "-n", "--config", "scale=down", succeeds=False)
    assert re.search(r"no network truth 'typo' in config/down/truths.tsv; known: \['net'\]", printed)


@pytest.mark.parametrize("embedding", [None, "results/down/gene_embedding.parquet"])
def test_a_plan_counts_the_files_that_its_jobs_download(project, embedding):
    rows = ["one\tNCBITaxon:9606\thttp://127.0.0.1:9/one\tone.h5ad\t7000\tlung\tnet"]
    truths = [
        "net\tscores.txt\thttp://127.0.0.1:9/scores\tprotein_pairs\t0.4\tids",
        "ids\tids.dat\thttp://127.0.0.1:9/ids\tnone\t\t",
    ]
    add_download_scale(project, "", rows=rows, truths=truths)
    project.edit_yaml("config/scales/down.yaml", {"gene_embedding": embedding})
    settings = ("results/table1.csv", "-n", "--quiet", "rules", "--config", "scale=down", "variants=base")
    printed = project.run(*settings)
    jobs = dict(re.findall(r"^download_(\w+) +(\d+)$", printed.split("Reasons:")[0], re.MULTILINE))
    jobs = {rule: int(number) for rule, number in jobs.items()}
    organism = {"organism_file": 5, "protein_model": 5} if embedding else {"organism_file": 4}
    assert jobs == {"dataset": 1, "source": 2} | organism
    plates = 2  # downloaded by the jobs that process them
    assert f"data: {sum(jobs.values()) + plates} files, " in printed
    there = project / "resources/down/datasets/one.h5ad"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"")
    again = project.run(*settings)
    assert re.search(rf"^data: {sum(jobs.values()) + plates - 1} files, .*; 1 are there$", again, re.MULTILINE)
    assert not re.search(r"^download_dataset +\d", again, re.MULTILINE), (
        "a file that was fetched before is not downloaded"
    )


def test_a_plan_says_the_bytes_once_and_a_run_on_an_incomplete_listing_is_refused(project):
    rows = ["one\tNCBITaxon:9606\thttp://127.0.0.1:9/one\tone.h5ad\t7000\tlung\t"]
    add_download_scale(project, "", rows=rows)
    printed = project.run("results/table1.csv", "-n", "--quiet", "rules", "--config", "scale=down", "variants=base")
    assert len(re.findall(r"^data: 7 files, .* in those of known size", printed, re.MULTILINE)) == 1
    assert len(re.findall(r"^- dataset: 3 files, ", printed, re.MULTILINE)) == 1, "that of the registry and two plates"
    assert "each of them: scprint2 data plan --scale down --files" in printed
    assert "incomplete" not in printed, "Tahoe has 14 plates, and all are listed"
    project.edit("config/scales/down.yaml", "- tahoe", "- cellxgene")
    target = "results/down/corpora/curated.json"
    planned = project.run(target, "-n", "--config", "scale=down", "variants=base")
    assert "corpus curated is incomplete: manifest cellxgene: 4 datasets" in planned
    refused = project.run(target, "--config", "scale=down", "variants=base", succeeds=False)
    assert "corpora are incomplete: curated (manifest cellxgene: 4 datasets" in refused
    assert not (project / "resources/down").exists(), "nothing is fetched for it"
