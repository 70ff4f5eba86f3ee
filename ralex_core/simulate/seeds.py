"""Seeds derived from names, so that any part of a simulation can be made without making what came before."""

from __future__ import annotations

import hashlib
import math
import random


def derived_random(*parts: int | str) -> random.Random:
    """A generator of its own for what the parts name: the same parts give the same draws on every machine."""
    text = "\x1f".join(map(str, parts)).encode()
    return random.Random(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big"))


def poisson(rng: random.Random, mean: float) -> int:
    """A Poisson draw by Knuth's method; cost grows with `mean`, which is a dozen at most here."""
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count
