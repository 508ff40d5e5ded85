"""What affinity does for load and prefix caches: hot prefix, Zipf and all-distinct traffic, simulated.

    python benchmarks/affinity.py

Eight workers, 200 or 16 requests in flight all the time, log-normal service times; each worker's cache keeps
the 100 prefixes used last. `peak` is the most requests any worker had at once over the mean; `home` the share
of requests that went to the first worker in their prefix's order; `cached` those that met a worker that still
had the prefix. Then the time of each call. Prints figures, asks nothing of the network.
"""

import itertools
import random
import sys
import timeit
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from heapq import heappush, heapreplace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from server.upstreams.affinity import affinity_hash, choose, rank  # noqa: E402

CACHED_PREFIXES = 100
REQUESTS = 40_000


@dataclass(frozen=True)
class Outcome:
    """One simulation. `peak`: most requests at one worker over the mean; the shares are of all requests."""

    peak: float
    home: float
    cached: float


def hot() -> Iterator[bytes]:
    """One system prompt for everybody."""
    return itertools.repeat("당신은 친절한 상담원입니다.".encode())


def distinct() -> Iterator[bytes]:
    """No two requests alike."""
    return (b"prompt %d" % number for number in itertools.count())


def zipf(rng: random.Random, prefixes: int = 2000, exponent: float = 1.1) -> Iterator[bytes]:
    """A few prefixes are asked for often and most of them seldom."""
    weights = list(itertools.accumulate(1 / place**exponent for place in range(1, prefixes + 1)))
    while True:
        for drawn in rng.choices(range(prefixes), cum_weights=weights, k=1000):
            yield b"prefix %d" % drawn


def simulate(
    prefixes: Iterator[bytes], *, affinity: bool = True, workers: int = 8, in_flight: int = 200
) -> Outcome:
    """Keep `in_flight` requests running until REQUESTS are through. No affinity is power of two choices."""
    rng = random.Random(20)
    seeds = [affinity_hash(b"worker-%d" % number) for number in range(workers)]
    loads = [0] * workers
    caches: list[OrderedDict[bytes, None]] = [OrderedDict() for _ in range(workers)]
    running: list[tuple[float, int]] = []
    now, peak, home, cached = 0.0, 0, 0, 0
    for number, prefix in enumerate(itertools.islice(prefixes, REQUESTS)):
        if number >= in_flight:
            now, done = running[0]
            loads[done] -= 1
        key = affinity_hash(b"key-1", b"dolly", prefix)
        worker = choose(key if affinity else None, loads, seeds, rng)[0]
        loads[worker] += 1
        ends = (now + rng.lognormvariate(0, 1), worker)
        if number >= in_flight:
            heapreplace(running, ends)
            peak = max(peak, loads[worker])
        else:
            heappush(running, ends)
        home += worker == rank(key, seeds)[0]
        cached += _seen(caches[worker], prefix)
    return Outcome(peak * workers / in_flight, home / REQUESTS, cached / REQUESTS)


def _seen(cache: OrderedDict[bytes, None], prefix: bytes) -> bool:
    known = prefix in cache
    cache[prefix] = None
    cache.move_to_end(prefix)
    if len(cache) > CACHED_PREFIXES:
        cache.popitem(last=False)
    return known


def call_times() -> None:
    """Microseconds a call."""
    rng = random.Random(1)
    for size in (64, 4096):
        parts = (b"key_0123456789ab", b"dolly-demo", rng.randbytes(size))
        _time(f"affinity_hash, {size} bytes", partial(affinity_hash, *parts))
    for workers in (2, 8, 16):
        seeds = [affinity_hash(b"worker-%d" % number) for number in range(workers)]
        loads = [rng.randrange(20, 23) for _ in range(workers)]
        key = affinity_hash(b"prompt")
        crowded = list(loads)
        crowded[rank(key, seeds)[0]] = 40
        _time(f"choose, {workers} workers, home free", partial(choose, key, loads, seeds, rng))
        _time(f"choose, {workers} workers, home full", partial(choose, key, crowded, seeds, rng))
        _time(f"choose, {workers} workers, no key", partial(choose, None, loads, seeds, rng))


def _time(label: str, call: Callable[[], object]) -> None:
    best = min(timeit.repeat(call, number=50_000, repeat=5)) / 50_000
    print(f"{label:34s} {best * 1e6:5.2f} us")


def main() -> None:
    print(f"{'load':28s} {'affinity':>8s} {'peak':>6s} {'home':>6s} {'cached':>7s}")
    for in_flight in (200, 16):
        loads = {"hot prefix": hot, "Zipf": lambda: zipf(random.Random(2)), "all distinct": distinct}
        for (label, prefixes), affinity in itertools.product(loads.items(), (True, False)):
            seen = simulate(prefixes(), affinity=affinity, in_flight=in_flight)
            name, yes = f"{label}, {in_flight} in flight", "on" if affinity else "off"
            print(f"{name:28s} {yes:>8s} {seen.peak:6.2f} {seen.home:6.1%} {seen.cached:7.1%}")
    call_times()


if __name__ == "__main__":
    main()
