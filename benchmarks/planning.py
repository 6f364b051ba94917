"""B10: a dry run of the paper's scale with listings of full size, and reading them: time and memory.

The listings are simulated: 1,318 datasets of CELLxGENE, 14 plates, 25,000 samples of scBaseCount, 26,332 files in all.
"""

import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import interleave
from scprint2.data.inventory import Inventory
from scprint2.data.manifests import Listed, write_manifest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "rules", "config", "profiles", "workflow", "envs")
NUMBERS = {"cellxgene": 1318, "scbasecount": 25_000}
ORGANISMS = ("NCBITaxon:9606", "NCBITaxon:10090")
TARGETS = {"dry_run_seconds": 20}
RUNS = {"base": ["variants=base"], "all_rows": []}


def simulate_listing(source: str, number: int) -> list[Listed]:
    """Return rows that are as long as real ones."""
    return [
        Listed(
            name=f"{source}_{index:08x}-961f-4c24-b407-{index:012x}",
            organism=ORGANISMS[index % 5 == 0],
            url=tuple(
                f"https://{host}.example.org/{index:08x}-961f-4c24-b407-{index:012x}.h5ad" for host in ("new", "old")
            ),
            file=f"{index:08x}-961f-4c24-b407-{index:012x}.h5ad",
            bytes=10**9 + index,
            md5=f"{index:032x}",
            licence="CC BY 4.0",
            citation="Publication: https://doi.org/10.1000/xyz Dataset Version: curated and distributed in Collection",
            batch_key="donor_id",
            label_key="cell_type_ontology_term_id" if source == "cellxgene" else "",
            cells=10_000,
            cell_types=20 if source == "cellxgene" else 0,
            tissue="lung; heart",
            assay="10x 3' v3",
            primary="all" if source == "cellxgene" else "",
            aliases=tuple(f"{index:08x}-961f-4c24-b407-{version:012x}" for version in range(8)),
        )
        for index in range(number)
    ]


def copy_project(folder: Path) -> None:
    """Copy the workflow and put full listings in place of the frozen ones."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for source, number in NUMBERS.items():
        write_manifest(folder / f"config/manifests/{source}.tsv", simulate_listing(source, number), comment="simulated")


def plan(folder: Path, settings: list[str]) -> dict:
    """Run Snakemake dry and return what it took and planned."""
    command = [sys.executable, "-m", "snakemake", "results/table1.csv", "--profile", "profiles/slurm", "--dry-run"]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, "--quiet", "rules", "--config", "mirror=none", *settings],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = re.findall(r"^(\w+) +(\d+)$", done.stdout.split("Job stats:")[-1].split("Reasons:")[0], re.MULTILINE)
    return {
        "exit_code": done.returncode,
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "megabytes_at_most": after.ru_maxrss / 1000,
        "data": re.findall(r"^data: .*", done.stdout, re.MULTILINE),
        "jobs": {rule: int(number) for rule, number in jobs},
        "failure": done.stdout[-2000:] if done.returncode else "",
    }


def measure() -> dict:
    """Return the time of reading the listings and of dry runs: base alone, and all rows of Table 1."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_project(folder)
        inventory = Inventory.read(folder / "config", "paper", registry=folder / "config/datasets.tsv")
        reading = interleave(
            {
                "read_listings": lambda _: Inventory.read(
                    folder / "config", "paper", registry=folder / "config/datasets.tsv"
                )
            },
            repeats={"read_listings": 1},
        )
        return {
            "targets": TARGETS,
            "files": len(inventory.choose(corpora=["all"])),
            "reading": reading["read_listings"],
            "dry_runs": {run: plan(folder, settings) for run, settings in RUNS.items()},
        }
