"""Randomness keyed by name, not by order: adding or removing a part leaves the draws of every other part as they were."""

import hashlib

import torch


def stream_seed(*key: object) -> int:
    """Return a 63-bit seed for a key such as (seed, step, view name)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(*key: object, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator for a key, on a device."""
    return torch.Generator(device=device).manual_seed(stream_seed(*key))


def seed_dropout(seed: int, *, device: torch.device) -> None:
    """Seed the one generator that dropout draws from on a device.

    `torch.manual_seed` seeds every other device too and, where there is no GPU, keeps a stack trace of each call: a tenth of the
    step of a tiny model.
    """
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
