"""Votes that one look at more than two answers gave are one word, wherever votes are counted."""

import math
import random
import uuid
from typing import Any

import pytest

from finetune.data.stored_feedback import parse_feedback
from kodolly.improve.canary import decision
from tests.support.cast_votes import results, row
from tests.support.judgements import answer, vote

TRUTH = {"a": 0.5, "b": 0.0, "c": 0.0, "d": -0.5}


def best_of_four(comparisons: int, raters: int, seed: int, **more: Any) -> list[dict[str, Any]]:
    """Rows of votes for the best of four answers, which is chosen as Luce's model says."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(comparisons):
        names = rng.sample(sorted(TRUTH), len(TRUTH))
        best = rng.choices(names, [math.exp(TRUTH[name]) for name in names])[0]
        about = {"rater_id": f"r{number % raters}", "comparison": f"c{number}"} | more
        for rival in set(names) - {best}:
            left, right = sorted((best, rival), key=names.index)
            choice = "left" if left == best else "right"
            rows.append(row(len(rows), choice, left, right, **about))
    return rows


@pytest.mark.parametrize("raters", [1, 100])
def test_intervals_cover_the_truth_when_four_answers_are_compared_at_once(raters: int) -> None:
    covered = []
    for seed in range(30):
        for one in results(best_of_four(100, raters, seed)).strengths:
            truth = 1000 + 400 / math.log(10) * TRUTH[one.name]
            covered.append(one.rating.low <= truth <= one.rating.high)
    assert sum(covered) / len(covered) >= 0.9


def test_models_that_are_compared_in_any_order_are_in_one_group() -> None:
    for seed in range(20):
        assert {one.group for one in results(best_of_four(50, 50, seed)).strengths} == {0}


def test_pairs_of_one_comparison_make_no_interval_narrower_than_its_choices_do() -> None:
    def width(**more: Any) -> float:
        first = results(best_of_four(100, 1, 3, **more)).strengths[0].rating
        return first.high - first.low

    assert width() > 1.3 * width(comparison=None)


def test_a_comparison_is_one_voice_for_a_decision_and_a_share() -> None:
    twice = [row(n, "right", "a", "b", comparison="c1", rater_id="r") for n in range(2)]
    (pair,) = results(twice).pairs
    assert (pair.losses, pair.decision.votes) == (2, 1)
    every = [("a", "b"), ("a", "c"), ("b", "c")]
    bad = [row(n, "both_bad", *pair, comparison="c1") for n, pair in enumerate(every)]
    good = row(9, "left", "a", "b", rater_id="r9")
    assert results([*bad, good]).both_bad["a"].value == 0.5


def test_a_canary_hears_a_comparison_once() -> None:
    new, old = (
        answer("chat", "새 답", checkpoint="222222222222"),
        answer("chat", "옛 답", checkpoint="111111111111"),
    )
    together = {"comparison": str(uuid.uuid4())}
    cast = [vote("left", new, old | {"answer": words}) | together for words in ("하나", "둘")]
    stored = [one | {"id": str(uuid.uuid4()), "created": str(n)} for n, one in enumerate(cast)]
    found = decision(parse_feedback(stored, []).votes, new["checkpoint"], old["checkpoint"])
    assert (found.votes, found.share.value) == (1, 1.0)
