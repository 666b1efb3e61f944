"""Random numbers that depend on what they are for, and on nothing that happened before.

NumPy's Philox is keyed with 128 bits of a hash of (seed, purpose, position): no state to save or
restore, equal numbers on any device, and no two streams alike (torch's CPU generator keeps only
32 bits of its seed, so among 50,000 images two would likely share their noise).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """The stream for ``purpose`` at ``position``, e.g. ``generator(0, "noise", step)``."""
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose, position, size=16)))


@contextmanager
def torch_seeded(seed: int, purpose: str, *position: int) -> Iterator[None]:
    """Run torch's own draws (initialization, dropout) from a stream; leave the global one alone."""
    with torch.random.fork_rng():
        torch.manual_seed(_key(seed, purpose, position, size=8))
        yield


def _key(seed: int, purpose: str, position: tuple[int, ...], *, size: int) -> int:
    text = repr((seed, purpose, *position)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest(), "little")
