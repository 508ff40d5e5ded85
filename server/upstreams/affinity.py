"""Which upstream gets a request, decided from numbers alone; nothing is remembered between requests.

Requests of one conversation share a key and go to the same upstream, whose prefix cache then hits. Its place
comes from rendezvous hashing (Thaler & Ravishankar 1998, "Using name-based mappings to increase hit rates"),
and no upstream gets more than 1.25 times the mean load (Mirrokni, Thorup & Zadimoghaddam 2018, "Consistent
hashing with bounded loads"). Requests without a key go to the less loaded of two random upstreams
(Mitzenmacher 2001, "The power of two choices in randomized load balancing").

All gateways, in whichever process or host, come to the same order from the same key and upstream ids.
"""

import random
import zlib
from collections.abc import Sequence

PRIME = (1 << 30) - 35
"""Keys, seeds and weights are below it: integers of one digit in CPython, which multiply the fastest."""


def affinity_hash(*parts: bytes) -> int:
    """A key, or an upstream's seed from its id: 1 <= hash < PRIME, the same in every process.

    Not cryptographic. Who forges collisions only crowds one upstream up to its bound. 0xFF, which is in no
    UTF-8 text, keeps (b"ab", b"c") and (b"a", b"bc") apart.
    """
    return zlib.crc32(b"\xff".join(parts)) % (PRIME - 1) + 1


def rank(key: int, seeds: Sequence[int]) -> list[int]:
    """Positions in `seeds`, the one with the highest weight for `key` first.

    Each weight depends on one seed alone, so an upstream that comes or goes moves only its own share of keys.
    """
    weights = [key * seed % PRIME for seed in seeds]
    return sorted(range(len(weights)), key=weights.__getitem__, reverse=True)


def choose(key: int | None, loads: Sequence[int], seeds: Sequence[int], rng: random.Random) -> list[int]:
    """Positions of all upstreams, the one to ask first and then those for fail-over.

    `loads` are requests in flight (and waiting, where known) and `seeds` the hashed ids, by upstream. With a
    key: the first in rendezvous order that has room, then the others in that order. There is room up to 1.25
    times the mean load, this request included, rounded down; and always up to one above the mean's whole
    part, without which a quiet gateway would send every second request of a conversation elsewhere. Without a
    key: a random order whose first two are swapped when the second has less load.
    """
    count = len(seeds)
    if count < 2:
        return list(range(count))
    if key is None:
        order = rank(int(rng.random() * (PRIME - 1)) + 1, seeds)
        if loads[order[1]] < loads[order[0]]:
            order[:2] = order[1], order[0]
        return order
    order = rank(key, seeds)
    total = sum(loads) + 1
    bound = max(5 * total // (4 * count), total // count + 1)
    for place, position in enumerate(order):
        if loads[position] < bound:
            if place:
                order.insert(0, order.pop(place))
            break
    return order
