"""The same conversation goes to the same worker, and no worker gets more than its share."""

import math
import random
import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.affinity import affinity_hash, order_by_affinity, order_by_load, score, seed_of


def seeds(count: int) -> list[int]:
    return [seed_of(f"10.0.0.{number}-21002") for number in range(count)]


def test_the_hash_is_the_same_in_every_process_and_knows_where_parts_end() -> None:
    assert affinity_hash("안녕".encode(), b"dolly") == 0xDAAB1FA72CE44E89
    assert affinity_hash(b"ab", b"c") != affinity_hash(b"a", b"bc")


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 50), min_size=1, max_size=12))
def test_every_upstream_is_a_candidate_once_and_the_first_has_room(key: int, loads: list[int]) -> None:
    order = order_by_affinity(key, seeds(len(loads)), loads)
    assert sorted(order) == list(range(len(loads)))
    mean = (sum(loads) + 1) / len(loads)
    assert loads[order[0]] + 1 <= max(1.25 * mean, math.ceil(mean))
    assert sorted(order_by_load(loads)) == list(range(len(loads)))


def test_a_new_worker_takes_its_share_and_moves_nothing_else() -> None:
    keys = [affinity_hash(str(number).encode()) for number in range(5000)]

    def homes(count: int) -> list[int]:
        fits = seeds(count)
        return [max(range(count), key=lambda i: score(key, fits[i])) for key in keys]

    before, after = homes(8), homes(9)
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {8}
    assert 0.8 * len(keys) / 9 < len(moved) < 1.2 * len(keys) / 9
    assert max(Counter(before).values()) < 1.15 * len(keys) / 8


def test_one_hot_prompt_never_makes_a_hot_worker() -> None:
    """200 in flight, all with the same prefix, on 8 workers; requests end in random order."""
    rng = random.Random(7)
    loads, fits, key = [0] * 8, seeds(8), affinity_hash(b"the same system prompt")
    in_flight: list[int] = []
    worst, at_home = 0.0, 0
    home = max(range(8), key=lambda i: score(key, fits[i]))
    for step in range(20_000):
        if len(in_flight) == 200:
            loads[in_flight.pop(rng.randrange(200))] -= 1
        index = order_by_affinity(key, fits, loads)[0]
        at_home += index == home
        loads[index] += 1
        in_flight.append(index)
        if step >= 200:
            worst = max(worst, max(loads) / (sum(loads) / 8))
    print(f"hot prefix: max/mean in flight {worst:.3f}, at home {at_home / 20_000:.1%}")
    assert worst <= 1.25


def test_a_million_prompts_leave_nothing_behind() -> None:
    fits, loads = seeds(8), [3, 1, 4, 1, 5, 9, 2, 6]

    def ask(start: int, count: int) -> None:
        for number in range(start, start + count):
            order_by_affinity(affinity_hash(b"%d" % number), fits, loads)

    ask(0, 1000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    ask(1000, 20_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    ask(21_000, 979_000)
    print(f"1e6 distinct prompts; traced growth over 20,000 of them: {grown} bytes")
    assert grown < 10_000


def test_without_a_key_the_less_loaded_of_two_is_asked() -> None:
    firsts = Counter(order_by_load([0, 10])[0] for _ in range(100))
    assert firsts == {0: 100}
