"""Which worker to ask: the same one for the same conversation, so that its prefix cache hits, but never one
that already has more than its share.

Rendezvous hashing (Thaler & Ravishankar 1998) with bounded loads (Mirrokni, Thorup & Zadimoghaddam 2018).
Nothing is remembered between requests: memory does not grow with the number of prompts.
"""

import math
import random
from collections.abc import Sequence
from hashlib import blake2b

BOUND = 1.25
"""No worker gets more than this times the mean number of requests."""
_MASK = (1 << 64) - 1


def affinity_hash(*parts: bytes) -> int:
    """64 bits that are the same in every process for the same parts."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def seed_of(upstream_id: str) -> int:
    """An upstream's part of the score, the same in every process."""
    return affinity_hash(upstream_id.encode())


def score(key: int, seed: int) -> int:
    """How well an upstream fits a key: splitmix64's finaliser (Steele, Lea & Flood 2014)."""
    mixed = (key ^ seed) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)


def order_by_affinity(key: int, seeds: Sequence[int], loads: Sequence[int]) -> list[int]:
    """Indices of all upstreams, the one to ask first: the best fit with room, then the others by fit."""
    order = sorted(range(len(seeds)), key=lambda i: score(key, seeds[i]), reverse=True)
    mean = (sum(loads) + 1) / len(loads)
    room = max(math.floor(BOUND * mean), math.ceil(mean))
    for place, index in enumerate(order):
        if loads[index] + 1 <= room:
            return [index, *order[:place], *order[place + 1 :]]
    return order


def order_by_load(loads: Sequence[int]) -> list[int]:
    """Indices of all upstreams, shuffled, but the less loaded of the first two comes first: power of two
    choices (Mitzenmacher 2001)."""
    order = random.sample(range(len(loads)), len(loads))
    if len(order) > 1 and loads[order[1]] < loads[order[0]]:
        order[0], order[1] = order[1], order[0]
    return order
