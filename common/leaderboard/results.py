"""All votes and ratings in figures that cannot be misread."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from common.leaderboard.agreement import alpha, interval, nominal
from common.leaderboard.bradley_terry import Ballot, Strength, fit_strengths
from common.leaderboard.evidence import Decision, decide
from common.leaderboard.intervals import Interval, clustered_mean
from common.leaderboard.judgements import EVERYTHING, CastVote, Filter, GivenRating

CHOICES = {"left": 1.0, "right": -1.0, "tie": 0.0, "both_bad": 2.0}


@dataclass(frozen=True)
class PairResult:
    """How two contenders did against each other."""

    first: str
    second: str
    wins: int
    """Of `first`."""
    losses: int
    ties: int
    both_bad: int
    """Votes that say nothing of who is better: in no rate."""
    win_rate: Interval
    """Of `first`; a tie is half a win."""
    decision: Decision
    """Without ties; holds however often one looks."""

    @property
    def n(self) -> int:
        """Votes."""
        return self.wins + self.losses + self.ties + self.both_bad


@dataclass(frozen=True)
class RatingResult:
    """What people thought of one contender's answers."""

    model: str
    n: int
    """Scores."""
    mean: Interval | None
    """1 to 5; None without scores."""
    up: int
    down: int
    tags: Mapping[str, int]


@dataclass(frozen=True)
class Results:
    """The leaderboard and all that belongs to it."""

    strengths: tuple[Strength, ...]
    length_effect: Interval | None
    pairs: tuple[PairResult, ...]
    matrix: Mapping[str, Mapping[str, float]]
    """Contender -> rival -> share of wins, ties half."""
    ratings: tuple[RatingResult, ...]
    both_bad: Mapping[str, Interval]
    """Contender -> share of its votes in which both answers were bad."""
    left_rate: Interval | None
    """Share of decided votes that went to the left answer; far from 0.5 means that the place decided."""
    decided: int
    vote_agreement: float | None
    """Krippendorff's alpha over votes on the same two answers; None where no two raters judged the same."""
    rating_agreement: float | None
    votes: int
    raters: int
    against_itself: int
    """Votes between two answers of one contender: they say nothing."""
    first_judged: Mapping[str, str]
    """Contender -> when the first of these votes and ratings came, ISO 8601: the order of checkpoints."""
    locales: Mapping[str, int]
    """Language -> votes and ratings; of these and of categories also what the filter leaves out."""
    categories: Mapping[str, int]

    def as_json(self) -> dict[str, Any]:
        """For `GET /v1/leaderboard` and files."""
        return asdict(self)


def leaderboard(
    votes: Iterable[CastVote],
    ratings: Iterable[GivenRating],
    only: Filter = EVERYTHING,
    *,
    control_length: bool = False,
) -> Results:
    """Results of the votes and ratings that `only` admits, in whatever order they come."""
    votes, ratings = list(votes), list(ratings)
    everything = [*(vote.about for vote in votes), *(rating.about for rating in ratings)]
    counted = [vote for vote in votes if only.admits(vote.about)]
    counted.sort(key=lambda vote: (vote.about.created, vote.about.id))
    judged = [rating for rating in ratings if only.admits(rating.about)]
    between = [vote for vote in counted if vote.left.name != vote.right.name]
    fit = fit_strengths(list(_ballots(between)), control_length=control_length)
    pairs = _pairs(between)
    sides = Counter(vote.choice for vote in counted)
    decided = [vote for vote in counted if vote.choice in ("left", "right")]
    return Results(
        strengths=fit.strengths,
        length_effect=fit.length_effect,
        pairs=pairs,
        matrix=_matrix(pairs),
        ratings=_ratings(judged),
        both_bad=_both_bad(between),
        left_rate=_mean([float(vote.choice == "left") for vote in decided], decided) if decided else None,
        decided=sides["left"] + sides["right"],
        vote_agreement=alpha(_same_answers(between), nominal),
        rating_agreement=alpha(_same_ratings(judged), interval),
        votes=len(counted),
        raters=len({vote.about.rater for vote in counted} | {one.about.rater for one in judged}),
        against_itself=len(counted) - len(between),
        first_judged=_first_judged(counted, judged),
        locales=_tally(about.locale for about in everything),
        categories=_tally(about.category for about in everything),
    )


def _tally(words: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(word for word in words if word).most_common())


def _first_judged(votes: Sequence[CastVote], ratings: Sequence[GivenRating]) -> dict[str, str]:
    seen: dict[str, datetime] = {}
    judged = [(one.about.created, name) for one in votes for name in (one.left.name, one.right.name)]
    judged += [(one.about.created, one.answer.name) for one in ratings]
    for created, name in judged:
        seen[name] = min(created, seen.get(name, created))
    return {name: seen[name].isoformat() for name in sorted(seen)}


def _first_score(vote: CastVote) -> tuple[str, str, float]:
    """The two names in order, and what the vote gives to the first."""
    left = {"left": 1.0, "right": 0.0}.get(vote.choice, 0.5)
    if vote.left.name < vote.right.name:
        return vote.left.name, vote.right.name, left
    return vote.right.name, vote.left.name, 1 - left


def _ballots(votes: Sequence[CastVote]) -> Iterable[Ballot]:
    votes = [vote for vote in votes if vote.choice != "both_bad"]
    weights = _weights(votes)
    for vote in votes:
        first, second, score = _first_score(vote)
        lengths = {vote.left.name: vote.left.length, vote.right.name: vote.right.length}
        total = lengths[first] + lengths[second]
        more = (lengths[first] - lengths[second]) / total if total else 0.0
        weight = weights.get(vote.comparison, 1.0)
        yield Ballot(first, second, score, vote.about.rater, more, vote.comparison, weight)


def _weights(votes: Iterable[CastVote]) -> dict[str, float]:
    """How much each vote of a comparison counts, by comparison.

    The choice of one among k equal models (Luce 1959) has as much information about their strengths as
    2 (k - 1) / k votes on two of them, however many pairs are made of it.
    """
    together: dict[str, list[CastVote]] = defaultdict(list)
    for vote in votes:
        if vote.comparison:
            together[vote.comparison].append(vote)
    found: dict[str, float] = {}
    for comparison, given in together.items():
        compared = len({name for vote in given for name in (vote.left.name, vote.right.name)})
        found[comparison] = 2 * (compared - 1) / compared / len(given)
    return found


def _pairs(votes: Sequence[CastVote]) -> tuple[PairResult, ...]:
    by_pair: dict[tuple[str, str], list[CastVote]] = defaultdict(list)
    for vote in votes:
        by_pair[_first_score(vote)[:2]].append(vote)
    return tuple(_pair(*names, by_pair[names]) for names in sorted(by_pair))


def _pair(first: str, second: str, votes: Sequence[CastVote]) -> PairResult:
    compared = [vote for vote in votes if vote.choice != "both_bad"]
    scores = [_first_score(vote)[2] for vote in compared]
    counts = Counter(scores)
    return PairResult(
        first=first,
        second=second,
        wins=counts[1.0],
        losses=counts[0.0],
        ties=counts[0.5],
        both_bad=len(votes) - len(compared),
        win_rate=_mean(scores, compared),
        decision=decide(_outcomes(compared)),
    )


def _outcomes(votes: Sequence[CastVote]) -> list[bool]:
    """Whether the first won, one voice for each comparison, in which a model may have stood twice."""
    decided = {
        vote.comparison or vote.about.id: score == 1.0
        for vote in votes
        if (score := _first_score(vote)[2]) != 0.5
    }
    return list(decided.values())


def _mean(values: Sequence[float], given: Sequence[CastVote] | Sequence[GivenRating]) -> Interval:
    return clustered_mean(values, [one.about.rater for one in given])


def _matrix(pairs: Sequence[PairResult]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for pair in pairs:
        if pair.n > pair.both_bad:
            found[pair.first][pair.second] = pair.win_rate.value
            found[pair.second][pair.first] = 1 - pair.win_rate.value
    return dict(found)


def _both_bad(votes: Sequence[CastVote]) -> dict[str, Interval]:
    of: dict[str, dict[str, CastVote]] = defaultdict(dict)
    for vote in votes:
        for name in (vote.left.name, vote.right.name):
            of[name][vote.comparison or vote.about.id] = vote
    given = {name: list(of[name].values()) for name in sorted(of)}
    return {name: _mean([float(v.choice == "both_bad") for v in one], one) for name, one in given.items()}


def _ratings(ratings: Sequence[GivenRating]) -> tuple[RatingResult, ...]:
    by_model: dict[str, list[GivenRating]] = defaultdict(list)
    for rating in ratings:
        by_model[rating.answer.name].append(rating)
    return tuple(_rating(model, by_model[model]) for model in sorted(by_model))


def _rating(model: str, given: Sequence[GivenRating]) -> RatingResult:
    scored = [rating for rating in given if rating.score is not None]
    thumbs = Counter(rating.thumb for rating in given)
    tags = Counter(tag for rating in given for tag in rating.tags)
    shares = [((rating.score or 1) - 1) / 4 for rating in scored]
    mean = _mean(shares, scored).scaled(4, 1) if scored else None
    return RatingResult(model, len(scored), mean, thumbs["up"], thumbs["down"], dict(tags.most_common()))


def _same_answers(votes: Sequence[CastVote]) -> Iterable[tuple[object, float]]:
    """Votes on two known answers, each rater's last one; whichever stood on the left."""
    last: dict[tuple[frozenset[str], str], tuple[object, float]] = {}
    for vote in votes:
        if vote.left.answer and vote.right.answer:
            swapped = vote.left.answer > vote.right.answer
            choice = CHOICES[vote.choice]
            answers = frozenset((vote.left.answer, vote.right.answer))
            value = -choice if swapped and choice in (1.0, -1.0) else choice
            last[answers, vote.about.rater] = answers, value
    return last.values()


def _same_ratings(ratings: Sequence[GivenRating]) -> Iterable[tuple[object, float]]:
    last = {
        (rating.answer.answer, rating.about.rater): (rating.answer.answer, float(rating.score))
        for rating in sorted(ratings, key=lambda one: one.about.created)
        if rating.answer.answer and rating.score is not None
    }
    return last.values()
