"""Link to a file of the user's folder, after checking that it is the one that the registry means."""

import hashlib
import os
import sys
from pathlib import Path

sys.stderr = open(snakemake.log[0], "w", buffering=1)
source, target, expected = Path(snakemake.input[0]).resolve(), Path(snakemake.output[0]), snakemake.params.sha256
if expected:
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ValueError(
            f"{source}: sha256 is {found}, the registry says {expected}. Restore the file, or correct the registry."
        )
temporary = target.with_name(f".tmp-{target.name}")
temporary.unlink(missing_ok=True)
temporary.symlink_to(source)
os.replace(temporary, target)
