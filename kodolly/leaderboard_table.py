"""The leaderboard as lines of a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from common.errors import UserError
from common.leaderboard.bradley_terry import Strength
from common.leaderboard.evidence import Decision
from common.leaderboard.intervals import Interval
from common.leaderboard.judgements import CastVote, Filter, GivenRating, rating_of, vote_of
from common.leaderboard.results import Results, leaderboard
from kodolly.operate.table import table

T = TypeVar("T")


@dataclass(frozen=True)
class Judgements:
    """Votes and ratings of a gateway."""

    votes: Sequence[CastVote]
    ratings: Sequence[GivenRating]

    def results(self, only: Filter, *, control_length: bool = False) -> Results:
        """The leaderboard's figures, computed as the gateway computes them."""
        return leaderboard(self.votes, self.ratings, only, control_length=control_length)


def read_judgements(votes: Sequence[Mapping[str, Any]], ratings: Sequence[Mapping[str, Any]]) -> Judgements:
    """The gateway's lists as types. Raises UserError."""
    return Judgements(_read(vote_of, votes), _read(rating_of, ratings))


def admitted(only: Filter, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of votes or ratings that a filter lets through. Raises UserError."""
    read: list[CastVote | GivenRating] = [
        _read(vote_of, [row])[0] if "choice" in row else _read(rating_of, [row])[0] for row in rows
    ]
    return [row for row, one in zip(rows, read, strict=True) if only.admits(one.about)]


def _read(read: Callable[[Mapping[str, Any]], T], rows: Sequence[Mapping[str, Any]]) -> list[T]:
    try:
        return [read(row) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"This is not a gateway's feedback ({error}).") from error


def leaderboard_lines(results: Results) -> Iterator[str]:
    """Tables and sentences for people."""
    if not results.votes and not results.ratings:
        yield "There are no votes and no ratings yet."
    if results.strengths:
        yield from _strengths(results)
    if results.pairs:
        yield from _pairs(results)
    yield from _remarks(results)
    if results.ratings:
        yield from _ratings(results)


def _strengths(results: Results) -> Iterator[str]:
    groups = {one.group for one in results.strengths}
    lines = [["rank", "model", "strength", "95% interval", "votes", "both bad"]]
    for one in results.strengths:
        bad = results.both_bad[one.name]
        lines.append(
            [_rank(one, len(groups) > 1), one.name, f"{one.rating.value:.0f}", _span(one.rating, "{:.0f}"),
             str(one.votes), f"{bad.value:.0%}"]
        )  # fmt: skip
    yield from table(lines, right=(2, 4, 5))
    if len(groups) > 1:
        yield "Models of two groups were never compared: ranks count within a group."
    if effect := results.length_effect:
        yield f"Length, taken out: {effect.value:+.2f} log odds for long ones ({_span(effect, '{:+.2f}')})."


def _rank(one: Strength, grouped: bool) -> str:
    ranks = str(one.best_rank) if one.best_rank == one.worst_rank else f"{one.best_rank}-{one.worst_rank}"
    return f"{chr(ord('A') + one.group % 26)}{ranks}" if grouped else ranks


def _pairs(results: Results) -> Iterator[str]:
    lines = [["model", "against", "won", "lost", "tied", "both bad", "win rate", "95% interval", "decision"]]
    for one in results.pairs:
        lines.append(
            [one.first, one.second, str(one.wins), str(one.losses), str(one.ties), str(one.both_bad),
             f"{one.win_rate.value:.1%}", _span(one.win_rate, "{:.1%}"),
             _decision(one.first, one.second, one.decision)]
        )  # fmt: skip
    yield from table(lines, right=(2, 3, 4, 5, 6))


def _decision(first: str, second: str, decision: Decision) -> str:
    if decision.winner is not None:
        return f"{first if decision.winner > 0 else second} is better"
    if decision.more is None:
        return "not yet, too close to call"
    return f"not yet, about {decision.more} more votes"


def _remarks(results: Results) -> Iterator[str]:
    if left := results.left_rate:
        yield (
            f"The left answer won {left.value:.1%} of {results.decided} decided votes"
            f" ({_span(left, '{:.1%}')}); 50% means that the place did not decide."
        )
    for what, value in (("votes", results.vote_agreement), ("ratings", results.rating_agreement)):
        if value is not None:
            yield f"Agreement of {what} on the same answers: alpha {value:.2f} (1 is full, 0 is chance)."
    if results.against_itself:
        yield f"{results.against_itself} votes compared a model with itself; they count nowhere."


def _ratings(results: Results) -> Iterator[str]:
    lines = [["model", "rating", "95% interval", "n", "up", "down", "tags"]]
    for rated in results.ratings:
        tags = ", ".join(f"{tag} {count}" for tag, count in rated.tags.items())
        mean = (f"{rated.mean.value:.2f}", _span(rated.mean, "{:.2f}")) if rated.mean else ("-", "-")
        lines.append([rated.model, *mean, str(rated.n), str(rated.up), str(rated.down), tags])
    yield from table(lines, right=(1, 3, 4, 5))


def _span(interval: Interval, form: str) -> str:
    return f"{form.format(interval.low)} to {form.format(interval.high)}"
