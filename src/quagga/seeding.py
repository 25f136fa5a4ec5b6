"""Seeds that are a pure function of a run's seed and of what they are used for."""

import hashlib


def derive_seed(*parts: int | str) -> int:
    """Returns a 64-bit seed from a seed and its purpose: `derive_seed(seed, "x", row)`. The same on every machine."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little")
