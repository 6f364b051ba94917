"""Run benchmarks by name and write their results as JSON: `python -m benchmarks loader sampler --out results.json`."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARED = ("__init__", "__main__", "common", "loader_peers")
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in SHARED)


def run(name: str) -> dict:
    """Return a benchmark's result: of its `measure()`, or printed as JSON by a script that has none."""
    module = importlib.import_module(f"benchmarks.{name}")
    if hasattr(module, "measure"):
        from benchmarks.common import describe_machine

        return {"machine": describe_machine()} | module.measure()
    output = subprocess.run(
        [sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, check=False
    ).stdout
    return json.loads(output)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}", metavar="NAME")
    parser.add_argument("--out", type=Path, help="file for the results; printed too")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown or not arguments.names:
        parser.error(
            f"unknown: {unknown}; there are {', '.join(NAMES)}" if unknown else f"name some of {', '.join(NAMES)}"
        )
    results = {}
    for name in arguments.names:
        results[name] = run(name)
        print(json.dumps({name: results[name]}, indent=1))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
