"""How strong each model is, from votes on pairs (Bradley and Terry 1952), with robust intervals.

The errors are clustered by rater (Liang and Zeger 1986): a hundred votes of one person are not a hundred
people, and the pairs of one comparison are not as many of one person. A covariate for the lengths of the
answers takes the taste for long ones out of the strengths.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.leaderboard.intervals import Interval, t_quantile

PRIOR = 0.001
"""Precision of the prior around the mean of all: without it only differences would be known."""
NOBODY = ""
"""Casts one tied vote on each pair that was compared: keeps a model that never lost finite, and its interval
from being endless. Of a hundred votes on a pair it moves the share by half a point."""
SCALE, MIDDLE = 400 / math.log(10), 1000.0
"""Strengths are told on Elo's scale: 400 points are odds of ten to one."""
STEPS = 50
ENOUGH = 1e-9

Vector = list[float]
Matrix = list[Vector]


@dataclass(frozen=True)
class Ballot:
    """One vote that decides or ties."""

    first: str
    second: str
    score: float
    """Of `first`: 1 it won, 0.5 a tie, 0 it lost."""
    rater: str
    lengths: float = 0.0
    """(length of first - length of second) / their sum."""
    comparison: str = ""
    """The same in all ballots of one look at more than two answers."""
    weight: float = 1.0
    """Less than 1 in such a comparison, whose ballots say less than as many votes on two answers."""


@dataclass(frozen=True)
class Strength:
    """One model's place among those it can be compared with."""

    name: str
    rating: Interval
    """On Elo's scale, 1000 is the mean of its group."""
    best_rank: int
    worst_rank: int
    """Of the ranks that its votes do not rule out: models whose difference may be none share them."""
    group: int
    """Models of two groups were never compared, not even through others."""
    votes: int


@dataclass(frozen=True)
class Fit:
    """All models, the strongest first."""

    strengths: tuple[Strength, ...]
    length_effect: Interval | None
    """Log odds that an answer gains over one of no length; None when lengths are not looked at."""


def fit_strengths(ballots: Sequence[Ballot], *, control_length: bool = False) -> Fit:
    """Strengths from votes on pairs of different models."""
    names = sorted({name for ballot in ballots for name in (ballot.first, ballot.second)})
    if not names:
        return Fit((), None)
    place = {name: at for at, name in enumerate(names)}
    size = len(names) + control_length
    rows = _rows(ballots, place, control_length=control_length)
    likelihood = _without_raters(rows)
    beta = _solution(likelihood, size, control_length)
    bread = _inverse(_information(likelihood, beta, size, control_length))
    errors = _errors(rows, beta, bread, control_length)
    groups = _groups(len(names), [(row[0], row[1]) for row in rows])
    effect = None
    if control_length:
        half = errors.of({size - 1: 1.0})
        effect = Interval(beta[-1], beta[-1] - half, beta[-1] + half)
    votes = Counter(name for b in ballots for name in (b.first, b.second))
    strengths = [_strength(at, names, beta, errors, groups, votes[names[at]]) for at in range(len(names))]
    return Fit(tuple(sorted(strengths, key=lambda one: (one.group, -one.rating.value))), effect)


Row = tuple[int, int, float, float, float, str, str]
"""First, second, lengths, score, how many such votes, rater, comparison."""


def _rows(ballots: Sequence[Ballot], place: Mapping[str, int], *, control_length: bool) -> list[Row]:
    """The votes, equal ones in one row, and those of nobody."""
    counted: dict[tuple[int, int, float, float, str, str], float] = defaultdict(float)
    for b in ballots:
        lengths = round(b.lengths, 2) if control_length else 0.0
        counted[place[b.first], place[b.second], lengths, b.score, b.rater, b.comparison] += b.weight
    rows: list[Row] = [(*row[:4], count, *row[4:]) for row, count in counted.items()]
    compared = {(min(row[:2]), max(row[:2])) for row in counted}
    return rows + [(first, second, 0.0, 0.5, 1.0, NOBODY, "") for first, second in compared]


def _without_raters(rows: Sequence[Row]) -> list[Row]:
    """The same votes in fewer rows: for the strengths it does not matter whose they are."""
    counted: dict[tuple[int, int, float, float], float] = defaultdict(float)
    for row in rows:
        counted[row[:4]] += row[4]
    return [(*row, count, NOBODY, "") for row, count in counted.items()]


def _likely(row: Row, beta: Vector, control: bool) -> float:
    odds = beta[row[0]] - beta[row[1]] + (beta[-1] * row[2] if control else 0.0)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))


def _slopes(row: Row, size: int, control: bool) -> tuple[tuple[int, float], ...]:
    ends: tuple[tuple[int, float], ...] = ((row[0], 1.0), (row[1], -1.0))
    return (*ends, (size - 1, row[2])) if control else ends


def _solution(rows: Sequence[Row], size: int, control: bool) -> Vector:
    """Newton's method; the prior makes the log likelihood strictly concave."""
    beta = [0.0] * size
    for _ in range(STEPS):
        gradient = [-PRIOR * value for value in beta]
        for row in rows:
            error = row[4] * (row[3] - _likely(row, beta, control))
            for at, slope in _slopes(row, size, control):
                gradient[at] += error * slope
        step = _times(_inverse(_information(rows, beta, size, control)), gradient)
        longest = max(map(abs, step))
        shorten = min(1.0, 2.0 / longest) if longest else 1.0
        beta = [value + shorten * change for value, change in zip(beta, step, strict=True)]
        if longest < ENOUGH:
            break
    return beta


def _information(rows: Sequence[Row], beta: Vector, size: int, control: bool) -> Matrix:
    found = [[PRIOR if at == other else 0.0 for other in range(size)] for at in range(size)]
    for row in rows:
        p = _likely(row, beta, control)
        slopes = _slopes(row, size, control)
        for at, slope in slopes:
            for other, other_slope in slopes:
                found[at][other] += row[4] * p * (1 - p) * slope * other_slope
    return found


@dataclass(frozen=True)
class Errors:
    """Covariances of the solution: from the spread between raters, and as the model alone would have them."""

    robust: Matrix
    own: Matrix
    reach: float
    """Standard errors to either side of an interval."""

    def of(self, weights: Mapping[int, float]) -> float:
        """Half the interval of a weighted sum. The greater of both: where all agree, the raters hardly
        differ, and their spread alone would claim to be certain."""
        return self.reach * math.sqrt(max(0.0, *(_variance(one, weights) for one in (self.robust, self.own))))


def _variance(of: Matrix, weights: Mapping[int, float]) -> float:
    return sum(a * b * of[at][other] for at, a in weights.items() for other, b in weights.items())


def _errors(rows: Sequence[Row], beta: Vector, bread: Matrix, control: bool) -> Errors:
    """The sandwich with the raters as clusters. One rater alone says nothing of others: then each vote or
    comparison is one, and the interval is about that rater."""
    size = len(beta)
    cast = [row for row in rows if row[5] != NOBODY]
    raters = {row[5] for row in cast}
    alone = len(raters) == 1
    scores: dict[object, Vector] = defaultdict(lambda: [0.0] * size)
    for number, row in enumerate(cast):
        error = row[3] - _likely(row, beta, control)
        # A row of single votes of one rater is as many clusters, whose squares add up.
        weight = math.sqrt(row[4]) if alone and not row[6] else row[4]
        for at, slope in _slopes(row, size, control):
            scores[(row[6] or number) if alone else row[5]][at] += error * slope * weight
    meat = [[0.0] * size for _ in range(size)]
    for score in scores.values():
        used = [at for at, value in enumerate(score) if value]
        for at in used:
            for other in used:
                meat[at][other] += score[at] * score[other]
    clusters = round(sum(row[4] for row in cast if not row[6])) + len({row[6] for row in cast if row[6]})
    clusters = clusters if alone else len(raters)
    correction = clusters / (clusters - 1) if clusters > 1 else 1.0
    robust = [[correction * value for value in line] for line in _product(_product(bread, meat), bread)]
    return Errors(robust, bread, t_quantile(clusters))


def _strength(
    at: int, names: Sequence[str], beta: Vector, errors: Errors, groups: Sequence[int], n: int
) -> Strength:
    group = [other for other in range(len(names)) if groups[other] == groups[at]]
    rivals = [other for other in group if other != at]
    reach = {other: errors.of({at: 1.0, other: -1.0}) for other in rivals}
    better = sum(beta[other] - beta[at] > reach[other] for other in rivals)
    worse = sum(beta[at] - beta[other] > reach[other] for other in rivals)
    half = errors.of({other: (other == at) - 1 / len(group) for other in group})
    rating = Interval(beta[at], beta[at] - half, beta[at] + half).scaled(SCALE, MIDDLE)
    return Strength(names[at], rating, 1 + better, 1 + len(rivals) - worse, groups[at], n)


def _groups(size: int, pairs: Sequence[tuple[int, int]]) -> list[int]:
    """The number of each model's group, the largest group first."""
    leader = list(range(size))

    def find(at: int) -> int:
        while leader[at] != at:
            leader[at] = leader[leader[at]]
            at = leader[at]
        return at

    for first, second in pairs:
        leader[find(first)] = find(second)
    order = [one for one, _ in Counter(find(at) for at in range(size)).most_common()]
    return [order.index(find(at)) for at in range(size)]


def _inverse(matrix: Matrix) -> Matrix:
    """By Gauss and Jordan, with pivots. The matrices here are positive definite."""
    size = len(matrix)
    rows = [[*line, *(float(at == other) for other in range(size))] for at, line in enumerate(matrix)]
    for at in range(size):
        pivot = max(range(at, size), key=lambda row: abs(rows[row][at]))
        rows[at], rows[pivot] = rows[pivot], rows[at]
        scale = rows[at][at]
        rows[at] = [value / scale for value in rows[at]]
        for other in range(size):
            if other != at and (factor := rows[other][at]):
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[at], strict=True)]
    return [line[size:] for line in rows]


def _product(left: Matrix, right: Matrix) -> Matrix:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(line, column, strict=True)) for column in columns] for line in left]


def _times(matrix: Matrix, vector: Vector) -> Vector:
    return [sum(a * b for a, b in zip(line, vector, strict=True)) for line in matrix]
