"""Choice of upstream: stable homes, bounded loads, no state that grows."""

import itertools
import math
import random
import tracemalloc
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.affinity import distinct, hot, simulate, zipf
from server.upstreams.affinity import PRIME, affinity_hash, choose, rank

keys = st.integers(1, PRIME - 1)
seed_lists = st.lists(keys, min_size=1, max_size=12, unique=True)


def seeds_of(count: int) -> list[int]:
    return [affinity_hash(b"worker-%d" % number) for number in range(count)]


@st.composite
def upstreams(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Seeds and loads."""
    seeds = draw(seed_lists)
    return seeds, draw(st.lists(st.integers(0, 60), min_size=len(seeds), max_size=len(seeds)))


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    assert affinity_hash() == 1
    assert affinity_hash(b"worker-1") == 1010331809
    assert affinity_hash(b"key-1", b"dolly", "안녕하세요".encode()) == 208561479


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_a_hash_fits_one_digit_and_is_never_zero(parts: list[bytes]) -> None:
    assert 1 <= affinity_hash(*parts) < PRIME < 1 << 30


def test_where_one_part_ends_matters() -> None:
    assert len({affinity_hash(b"ab", b"c"), affinity_hash(b"a", b"bc"), affinity_hash(b"abc")}) == 3


@given(keys, seed_lists, st.data())
def test_an_upstream_that_goes_leaves_the_order_of_the_others_as_it_was(
    key: int, seeds: list[int], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(seeds))
    others = [seed for seed in seeds if seed != gone]
    before = [seeds[at] for at in rank(key, seeds) if seeds[at] != gone]
    assert [others[at] for at in rank(key, others)] == before


@given(keys, seed_lists, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_how_the_upstreams_are_listed(
    key: int, seeds: list[int], rng: random.Random
) -> None:
    listed = rng.sample(seeds, len(seeds))
    assert [listed[at] for at in rank(key, listed)] == [seeds[at] for at in rank(key, seeds)]


@pytest.mark.parametrize("prompt", ["{}", "당신은 {}번 상담원입니다.", '{{"role":"user","content":"{}"}}'])
def test_alike_prompts_spread_evenly_over_homes_and_second_choices(prompt: str) -> None:
    seeds, count = seeds_of(8), 40_000
    orders = [rank(affinity_hash(prompt.format(number).encode()), seeds) for number in range(count)]
    homes = Counter(order[0] for order in orders)
    pairs = Counter((order[0], order[1]) for order in orders)
    # Five standard deviations of a fair draw; the keys are fixed, so this never varies.
    for seen, cells in ((homes, 8), (pairs, 56)):
        assert len(seen) == cells
        mean = count / cells
        assert max(abs(number - mean) for number in seen.values()) < 5 * math.sqrt(mean)


def test_a_ninth_worker_takes_only_its_ninth() -> None:
    seeds = seeds_of(9)
    moved = 0
    for number in range(20_000):
        key = affinity_hash(b"prompt %d" % number)
        before, after = rank(key, seeds[:8])[0], rank(key, seeds)[0]
        assert after in (before, 8)
        moved += after == 8
    assert moved / 20_000 == pytest.approx(1 / 9, rel=0.05)


@given(keys, upstreams(), st.randoms(use_true_random=False))
def test_with_a_key_the_first_with_room_leads_and_the_others_follow_in_rendezvous_order(
    key: int, given_upstreams: tuple[list[int], list[int]], rng: random.Random
) -> None:
    seeds, loads = given_upstreams
    order, places = choose(key, loads, seeds, rng), rank(key, seeds)
    mean = Fraction(sum(loads) + 1, len(seeds))
    bound = max(math.floor(Fraction(5, 4) * mean), math.floor(mean) + 1)
    leader = next(at for at in places if len(seeds) == 1 or loads[at] + 1 <= bound)
    assert order == [leader] + [at for at in places if at != leader]
    if len(seeds) > 1:
        assert loads[leader] + 1 <= math.ceil(Fraction(5, 4) * mean)


@given(upstreams(), st.randoms(use_true_random=False))
def test_without_a_key_the_first_has_no_more_load_than_the_second(
    given_upstreams: tuple[list[int], list[int]], rng: random.Random
) -> None:
    seeds, loads = given_upstreams
    order = choose(None, loads, seeds, rng)
    assert sorted(order) == list(range(len(seeds)))
    if len(order) > 1:
        assert loads[order[0]] <= loads[order[1]]


def test_without_a_key_every_order_is_as_likely_and_the_most_loaded_never_first() -> None:
    rng, seeds = random.Random(3), seeds_of(4)
    even = Counter(tuple(choose(None, [5, 5, 5, 5], seeds, rng)) for _ in range(24_000))
    assert len(even) == 24
    assert max(abs(number - 1000) for number in even.values()) < 5 * math.sqrt(1000)
    uneven = Counter(choose(None, [5, 5, 9, 5], seeds, rng)[0] for _ in range(3_000))
    assert set(uneven) == {0, 1, 3}


def test_no_upstream_and_one_upstream() -> None:
    rng = random.Random(0)
    assert choose(7, [], [], rng) == []
    assert choose(7, [99], [5], rng) == choose(None, [99], [5], rng) == [0]


@pytest.mark.parametrize("load", ["hot prefix", "Zipf", "all distinct"])
def test_no_worker_has_more_than_a_quarter_above_the_mean(load: str) -> None:
    prefixes = {"hot prefix": hot(), "Zipf": zipf(random.Random(2)), "all distinct": distinct()}[load]
    seen = simulate(prefixes)
    print(f"{load}: max/mean in flight {seen.peak:.2f}, at home {seen.home:.1%}, cached {seen.cached:.1%}")
    assert seen.peak <= 1.25
    if load == "Zipf":
        assert seen.cached > simulate(zipf(random.Random(2)), affinity=False).cached + 0.15


@pytest.mark.slow
def test_a_million_distinct_prompts_leave_nothing_in_memory() -> None:
    rng, seeds, loads = random.Random(4), seeds_of(8), [25] * 8

    def route(prompts: int) -> None:
        for prompt in itertools.islice(distinct(), prompts):
            choose(affinity_hash(b"key-1", b"dolly", prompt), loads, seeds, rng)

    route(1000)
    tracemalloc.start()
    try:
        route(1000)
        before, _ = tracemalloc.get_traced_memory()
        route(1_000_000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"1,000,000 prompts: {after - before:+d} bytes kept, {peak - before} at the peak")
    assert after - before < 1024
    assert peak - before < 64 * 1024
