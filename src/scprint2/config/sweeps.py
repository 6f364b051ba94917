"""What is measured over a range of one setting, for named rows: `sweeps.yaml` with a scale's constants. Imports no torch."""

from pathlib import Path
from typing import Any

from scprint2.config.overlay import fill, read_scale, read_yaml

SWEEP_KEYS = {"title", "notebook", "role", "variants", "settings"}


def read_sweep(config: Path, name: str, *, scale: str) -> dict[str, Any]:
    """Read one sweep of `<config>/sweeps.yaml` with the constants of a scale filled in.

    Raises
    ------
    ValueError
        If there is no such sweep, a key is missing or not known, or a constant or the role is not one of the scale.
    """
    path = Path(config) / "sweeps.yaml"
    sweeps, size = read_yaml(path), read_scale(Path(config), scale)
    if name not in sweeps:
        raise ValueError(f"{path}: no sweep {name!r}; known: {sorted(sweeps)}")
    sweep = sweeps[name]
    if set(sweep) != SWEEP_KEYS:
        raise ValueError(f"{path}: sweep {name!r} has the keys {sorted(sweep)}; expected {sorted(SWEEP_KEYS)}")
    if sweep["role"] not in size["roles"]:
        raise ValueError(f"scale {scale!r} names no datasets for the role {sweep['role']!r}; add it to its `roles`")
    return fill(sweep, size["constants"], where=f"{path} at scale {scale}")
