"""Find cells that several datasets of a corpus hold, and write those datasets without them."""

import sys
from pathlib import Path

from scprint2.data.chunks import check_failures, place_of, read_reports
from scprint2.data.duplicates import drop_duplicates, write_members
from scprint2.data.shard import Shard

sys.stderr = open(snakemake.log[0], "w", buffering=1)
wildcards, output = snakemake.wildcards, snakemake.output
reports = read_reports(snakemake.input.chunks)
entries = {name: reports[name] for name in snakemake.params.datasets}
check_failures(entries)
failed = {name: entry["reason"] for name, entry in entries.items() if entry["status"] == "failed"}
folder = place_of(wildcards.scale).processed
shards = [Shard.open(folder / name / "shard") for name in entries if name not in failed]
Path(output.shards).mkdir(parents=True, exist_ok=True)
work = Path("work", wildcards.scale, "duplicates", wildcards.corpus)
found = drop_duplicates(shards, output.shards, work=work)
write_members(output.members, found, failed=failed)
