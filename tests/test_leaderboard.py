"""Results of votes: the truth is found again, nobody wins by chance or by many clicks, doors say the same."""

import json
import math
import random
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import numpy as np
import pytest
from click.testing import CliRunner

from common.feedback import Rating, Vote
from common.leaderboard.agreement import alpha, interval, nominal
from common.leaderboard.bradley_terry import Ballot, fit_strengths
from common.leaderboard.evidence import DECIDED, decide, log_evidence
from common.leaderboard.intervals import clustered_mean, wilson
from common.leaderboard.judgements import Filter, rating_of
from kodolly.cli import root
from server.store.feedback import FeedbackStore
from server.store.opening import open_store
from server.store.owner import Owner
from tests.support.cast_votes import START, results, row
from tests.support.stack_in_process import in_process


def ballots(n: int, truth: dict[str, float], seed: int, taste_for_length: float = 0.0) -> list[Ballot]:
    """Votes of people who each judge once; `long` gives answers twice as long as the others."""
    rng = random.Random(seed)
    made = []
    for number in range(n):
        first, second = rng.sample(sorted(truth), 2)
        lengths = [
            rng.lognormvariate(math.log(600 if name == "long" else 300), 0.3) for name in (first, second)
        ]
        more = (lengths[0] - lengths[1]) / sum(lengths)
        odds = truth[first] - truth[second] + taste_for_length * more
        won = rng.random() < 1 / (1 + math.exp(-odds))
        tie = rng.random() < 0.1
        made.append(Ballot(first, second, 0.5 if tie else float(won), f"r{number}", more))
    return made


def test_the_truth_is_recovered_also_between_models_that_never_met() -> None:
    truth = {"a": 0.8, "b": 0.4, "c": 0.0, "d": -0.4, "e": -0.8}
    fit = fit_strengths(ballots(1500, truth, seed=1))
    assert [one.name for one in fit.strengths] == list("abcde")
    for one in fit.strengths:
        expected = 1000 + 400 / math.log(10) * truth[one.name] * 0.9  # ties draw everything together
        assert one.rating.low < expected < one.rating.high
        assert one.best_rank <= "abcde".index(one.name) + 1 <= one.worst_rank
    chain = [Ballot(*pair, 1.0, f"{pair}{n}") for pair in (("a", "b"), ("b", "c")) for n in range(30)]
    assert [(one.name, one.best_rank, one.worst_rank) for one in fit_strengths(chain).strengths] == [
        ("a", 1, 1),
        ("b", 2, 2),
        ("c", 3, 3),
    ]


def test_a_model_that_is_merely_longer_does_not_lead_once_length_is_controlled() -> None:
    truth = {"long": 0.0, "best": 0.4, "mid": 0.0, "low": -0.5}
    votes = ballots(3000, truth, seed=2, taste_for_length=2.0)
    assert fit_strengths(votes).strengths[0].name == "long"
    controlled = fit_strengths(votes, control_length=True)
    assert controlled.strengths[0].name == "best"
    assert controlled.length_effect is not None
    assert controlled.length_effect.low < 1.8 < controlled.length_effect.high


def test_intervals_cover_the_truth_and_widen_with_few_raters() -> None:
    covered = 0
    for seed in range(40):
        fit = fit_strengths(ballots(150, {"a": 0.3, "b": -0.3}, seed))
        best = next(one.rating for one in fit.strengths if one.name == "a")
        covered += best.low < 1000 + 400 / math.log(10) * 0.3 * 0.9 < best.high
    assert covered >= 34
    # Each person prefers one model always: ten opinions, not a hundred.
    alike = [(f"r{rater}", float(rater < 7)) for rater in range(10) for _ in range(10)]
    many = fit_strengths([Ballot("a", "b", won, f"{rater}-{n}") for n, (rater, won) in enumerate(alike)])
    few = fit_strengths([Ballot("a", "b", won, rater) for rater, won in alike])
    widths = [fit.strengths[0].rating.high - fit.strengths[0].rating.low for fit in (many, few)]
    assert widths[1] > 2.5 * widths[0]
    assert [(one.best_rank, one.worst_rank) for one in many.strengths] == [(1, 1), (2, 2)]
    assert [(one.best_rank, one.worst_rank) for one in few.strengths] == [(1, 2), (1, 2)]


def test_unanimous_and_single_votes_are_not_certain() -> None:
    for n in (1, 2, 5):
        fit = fit_strengths([Ballot("a", "b", 1.0, f"r{number}") for number in range(n)])
        assert fit.strengths[0].rating.high - fit.strengths[0].rating.low > 100
        assert all((one.best_rank, one.worst_rank) == (1, 2) for one in fit.strengths)
    one = clustered_mean([0.25], ["r"])
    assert one.low < 0.1
    assert one.high > 0.6
    same = clustered_mean([0.75] * 60, [f"r{number % 3}" for number in range(60)])
    assert same == wilson(0.75, 3)


def test_models_that_were_never_compared_are_not_ranked_against_each_other() -> None:
    votes = [Ballot("a", "b", 1.0, f"r{n}") for n in range(40)]
    votes += [Ballot("c", "d", 1.0, f"s{n}") for n in range(30)]
    found = {one.name: (one.group, one.best_rank, one.worst_rank) for one in fit_strengths(votes).strengths}
    assert found == {"a": (0, 1, 1), "b": (0, 2, 2), "c": (1, 1, 1), "d": (1, 2, 2)}


def test_equal_models_get_a_winner_in_at_most_a_twentieth_of_all_tests_however_often_one_looks() -> None:
    rng = np.random.default_rng(7)
    tests, looks = 4000, 1000
    wins = np.cumsum(rng.random((tests, looks)) < 0.5, axis=1)
    n = np.arange(1, looks + 1)
    gamma = np.array([math.lgamma(10 + k) for k in range(looks + 1)])
    total = np.array([math.lgamma(20 + k) for k in range(looks + 1)])
    prior = 2 * math.lgamma(10) - math.lgamma(20)
    evidence = gamma[wins] + gamma[n - wins] - total[n] - prior + n * math.log(2)
    assert evidence[3, 99] == pytest.approx(log_evidence(int(wins[3, 99]), 100 - int(wins[3, 99])))
    assert np.mean(evidence.max(axis=1) >= DECIDED) <= 0.05
    share = wins / n
    z = 1.96  # Wilson's interval, looked at after each vote from the 20th on
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    peeked = (np.abs(middle - 0.5) > half)[:, 19:].any(axis=1)
    assert np.mean(peeked) == pytest.approx(0.43, abs=0.005)  # the figure of docs/feedback.md


def test_a_better_model_is_found_and_the_votes_that_are_missing_are_told() -> None:
    rng = random.Random(3)
    outcomes = [rng.random() < 0.7 for _ in range(400)]
    needed = next(n for n in range(400) if decide(outcomes[:n]).winner is not None)
    assert decide(outcomes).winner == 1
    assert needed < 150
    early = decide(outcomes[:20])
    assert early.winner is None
    assert early.more is not None
    assert decide([not won for won in outcomes]).winner == -1
    assert decide([True] * 200 + [False] * 200).winner == 1  # a decision stands
    share = decide(outcomes[:50]).share
    assert share.low < share.value < share.high
    assert decide([]).share.low < 0.3
    assert decide([True, False] * 2000).more is None


def test_two_checkpoints_of_one_name_are_two_contenders() -> None:
    rows = [row(n, "left", "base", "my-dolly@0123456789ab") for n in range(8)]
    rows += [row(8 + n, "right", "base", "my-dolly@fedcba987654") for n in range(8)]
    found = results(rows)
    assert {(one.first, one.second, one.wins, one.losses) for one in found.pairs} == {
        ("base", "my-dolly@0123456789ab", 8, 0),
        ("base", "my-dolly@fedcba987654", 0, 8),
    }
    assert [one.name for one in found.strengths] == ["my-dolly@fedcba987654", "base", "my-dolly@0123456789ab"]
    arms = row(0, "left", "chat", "chat")
    arms["left"]["arm"], arms["right"]["arm"] = "one", "two"
    assert [(pair.first, pair.second) for pair in results([arms]).pairs] == [("one", "two")]


def test_ties_count_half_whatever_the_side_and_both_bad_not_at_all() -> None:
    rows = [
        row(0, "right", "base", "dolly"),
        row(1, "left", "dolly", "base"),
        row(2, "left", "base", "dolly"),
    ]
    rows += [
        row(3, "tie", "base", "dolly"),
        row(4, "both_bad", "dolly", "base"),
        row(5, "left", "base", "base"),
    ]
    found = results(rows)
    (pair,) = found.pairs
    assert (pair.wins, pair.losses, pair.ties, pair.both_bad, pair.n) == (1, 2, 1, 1, 5)
    assert pair.win_rate.value == pytest.approx(1.5 / 4)
    assert found.matrix == {"base": {"dolly": 0.375}, "dolly": {"base": 0.625}}
    assert found.both_bad["dolly"].value == pytest.approx(0.2)
    assert (found.against_itself, found.votes, found.raters) == (1, 6, 6)
    assert found.left_rate is not None
    assert found.left_rate.value == pytest.approx(3 / 4)


def test_filters_choose_what_counts() -> None:
    rows = [
        row(0, "left", "a", "b", locale="en"),
        row(1, "left", "a", "b", blind=False, session_id="연구"),
        row(2, "left", "a", "b", category="요약"),
        row(3, "left", "a", "b"),
    ]
    for only, n in (
        (Filter(), 4),
        (Filter(locale="en"), 1),
        (Filter(blind_only=True), 3),
        (Filter(category="요약"), 1),
        (Filter(session="연구"), 1),
        (Filter(since=START + timedelta(minutes=2)), 2),
        (Filter(until=(START + timedelta(minutes=2)).replace(tzinfo=None)), 2),
    ):
        assert results(rows, only).votes == n
    of_one = results(rows, Filter(category="요약"))
    assert (of_one.locales, of_one.categories) == ({"ko": 3, "en": 1}, {"요약": 1})
    assert of_one.first_judged == dict.fromkeys("ab", (START + timedelta(minutes=2)).isoformat())


def test_agreement_is_krippendorffs_alpha() -> None:
    # Krippendorff (2011), section A: two observers, ten units, binary data.
    pairs = [(n, float(value)) for said in ("0100000010", "1110010000") for n, value in enumerate(said)]
    assert alpha(pairs, nominal) == pytest.approx(0.095, abs=0.001)
    # By hand: observed (1 + 0) * 2 / 4, expected 2 * (1 + 4 + 4 + 1) * 1 / 12 over 1, 2, 3, 3.
    assert alpha([(1, 1), (1, 2), (2, 3), (2, 3)], interval) == pytest.approx(1 - 0.5 / (22 / 12))
    assert alpha([(1, 1), (1, 5), (2, 5), (2, 1)], interval) < 0  # type: ignore[operator]
    assert alpha([(1, 1), (2, 5)], interval) is None
    assert alpha([(1, 3), (1, 3)], interval) is None
    swapped = [row(0, "left", "a", "b"), row(0, "right", "b", "a", id="w", rater_id="other")]
    for one in swapped:
        for side in ("left", "right"):
            one[side]["request_id"] = one[side]["model"]
    more = [row(1, "right", "a", "b"), row(1, "right", "a", "b", id="x", rater_id="other")]
    assert results([*swapped, *more]).vote_agreement == 1.0


def test_the_gateway_and_the_command_give_the_same_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(5)
    sampling = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8}
    with in_process(tmp_path, api_keys=("key-a",)) as stack:
        headers = {"authorization": "Bearer key-a"}
        with httpx2.Client(base_url=stack.gateway, headers=headers, trust_env=False) as client:
            for number in range(40):
                sides = {
                    side: {
                        "model": "chat",
                        "arm": rng.choice(["가", "나", None]),
                        "checkpoint": rng.choice(["0123456789ab", None]),
                        "messages": [{"role": "user", "content": "질문"}],
                        "answer": "답" * rng.randint(1, 50),
                        "sampling": sampling,
                        "request_id": f"r{number // 2}-{side}",
                    }
                    for side in ("left", "right")
                }
                about = {"rater_id": f"사람{number % 5}", "category": rng.choice(["요약", "질의"])}
                vote = {"choice": rng.choice(["left", "right", "tie", "both_bad"]), "blind": True}
                client.put(f"/v1/feedback/votes/{uuid.uuid4()}", json=vote | sides | about).raise_for_status()
                given = {"answer": sides["left"], "score": rng.randint(1, 5), "tags": ["tone"]} | about
                client.put(f"/v1/feedback/ratings/{uuid.uuid4()}", json=given).raise_for_status()
            asked = {"category": "요약", "control_length": "true", "blind_only": "false"}
            told = client.get("/v1/leaderboard", params=asked).raise_for_status().json()
        monkeypatch.setenv("KODOLLY_API_KEY", "key-a")
        output = tmp_path / "figures.json"
        words = ["eval", "votes", "--gateway", stack.gateway, "--category", "요약", "--control-length"]
        ran = CliRunner().invoke(root, [*words, "--output", str(output)])
        assert ran.exit_code == 0, ran.output
        everything = stack.get("/v1/leaderboard", **headers)
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert (told.pop("object"), told.pop("complete")) == ("leaderboard", True)
    assert figures == told
    assert 0 < told["votes"] < everything["votes"] == 40
    assert "alpha" in ran.output
    assert (
        rating_of(
            {"id": 1, "created": "2026-11-01T00:00:00", "answer": {"model": "가"}, "score": None}
        ).answer.name
        == "가"
    )


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_both_databases_tell_the_same_and_no_text_can_break_them(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    answer = {
        "model": "돌리",
        "messages": [{"role": "user", "content": "널\x00문자"}],
        "answer": "답\x00입니다 😀",
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 8},
        "checkpoint": "0123456789ab",
    }
    other = answer | {"model": "전", "arm": "전\x00-2", "checkpoint": None, "answer": ""}
    vote = Vote.model_validate({"choice": "left", "left": answer, "right": other, "blind": True})
    rating = Rating.model_validate({"score": 4, "answer": answer, "comment": "\x00", "rater_id": "민\x00지"})
    sqlite = f"sqlite:///{tmp_path / 'kodolly.db'}"
    url = sqlite if kind == "sqlite" else str(request.getfixturevalue("postgres_url"))
    async with open_store(url) as store:
        feedback, owner = FeedbackStore(store.database), Owner("key_a")
        await feedback.put_vote(owner, str(uuid.uuid4()), vote)
        await feedback.put_rating(owner, str(uuid.uuid4()), rating)
        found = await feedback.figures(owner, START - timedelta(days=3650))
        assert (await feedback.figures(Owner("key_b"))).votes == []
        assert (await feedback.figures(owner, datetime.max)).votes == []
        gone = await feedback.forget_rater(owner, "민\x00지")
    (cast,), (given,) = found.votes, found.ratings
    assert (cast.left.name, cast.right.name) == ("돌리@0123456789ab", "전-2")
    assert (cast.left.length, cast.right.length) == (len("답입니다 😀"), 0)
    assert (given.score, given.about.rater) == (4, "key_a/민지")
    assert gone == {"votes": 0, "ratings": 1, "conversations": 0}


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "2026-11-01"])
def test_no_moment_is_too_much(tmp_path: Path, when: str) -> None:
    with in_process(tmp_path) as stack:
        for path in ("leaderboard", "feedback/votes"):
            assert stack.get(f"/v1/{path}?since={when}")["object"]
        assert stack.get(f"/v1/leaderboard?until={when}")["votes"] == 0
