"""Every random number of the project: by what it is for, and by nothing that happened before.

This is the only place where a generator is made.  NumPy's Philox is keyed with 128 bits of a hash
of (seed, purpose, indices): no state to save or restore, equal numbers on any device, and no two
streams alike (torch's CPU generator keeps only 32 bits of its seed, so among 50,000 images two
would likely share their noise).  A purpose is a text of its own at each place that draws.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """The stream for ``purpose`` at ``indices``, e.g. ``generator(0, "noise", step)``."""
    return np.random.Generator(np.random.Philox(key=_key(seed, purpose, indices, size=16)))


@contextmanager
def torch_seeded(seed: int, purpose: str, *indices: int) -> Iterator[None]:
    """Run torch's own draws (initialization, dropout) from a stream; leave the global one alone."""
    import torch  # here, so that tasks draw without it

    with torch.random.fork_rng():
        torch.manual_seed(_key(seed, purpose, indices, size=8))
        yield


def _key(seed: int, purpose: str, indices: tuple[int, ...], *, size: int) -> int:
    text = repr((int(seed), purpose, *map(int, indices))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=size).digest(), "little")
