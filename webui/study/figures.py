"""What has come of a study: how far raters agree, how long they took, what they said of each model."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

from common.leaderboard.agreement import alpha, interval, nominal
from webui.store.studies import Judged
from webui.study.plan import Study, shown_order

TIE, BOTH_BAD = -1, -2


@dataclass(frozen=True, slots=True)
class RaterFigures:
    """One rater's part."""

    rater: str
    judged: int
    median_s: float | None


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """What was said of one model."""

    model: str
    wins: int
    mean_score: float | None


@dataclass(frozen=True, slots=True)
class StudyFigures:
    """A study in figures."""

    agreement: float | None
    """Krippendorff's alpha; None while no prompt was judged twice."""
    median_s: float | None
    """Seconds for one prompt."""
    ties: int
    both_bad: int
    models: tuple[ModelFigures, ...]
    raters: tuple[RaterFigures, ...]
    unsent: int
    """Judgements that the gateway has not taken yet."""


def study_figures(study: Study, judged: Sequence[Judged]) -> StudyFigures:
    """Figures of what was judged."""
    winners = [winner(study, one) for one in judged if one.judgement.choice]
    scores: dict[int, list[int]] = defaultdict(list)
    for one in judged:
        for number, score in scores_of(study, one):
            scores[number].append(score)
    by_rater: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        by_rater[one.rater].append(one)
    return StudyFigures(
        agreement=agreement(study, judged),
        median_s=_median(judged),
        ties=winners.count(TIE),
        both_bad=winners.count(BOTH_BAD),
        models=tuple(
            ModelFigures(setup.model, winners.count(number), _mean(scores[number]))
            for number, setup in enumerate(study.setups)
        ),
        raters=tuple(RaterFigures(name, len(mine), _median(mine)) for name, mine in sorted(by_rater.items())),
        unsent=sum(not one.sent for one in judged),
    )


def agreement(study: Study, judged: Sequence[Judged]) -> float | None:
    """Krippendorff's alpha: of votes over prompts, of scores over answers."""
    if study.kind == "vote":
        return alpha(((one.position, float(winner(study, one))) for one in judged), nominal)
    given = (
        ((one.position, number), float(score)) for one in judged for number, score in scores_of(study, one)
    )
    return alpha(given, interval)


def winner(study: Study, judged: Judged) -> int:
    """Number of the model that a vote went to, wherever its answer stood; TIE or BOTH_BAD."""
    order = shown_order(study.id, judged.position, judged.user, len(study.setups))
    of = {"left": order[0], "right": order[-1], "tie": TIE, "both_bad": BOTH_BAD}
    return of[judged.judgement.choice or "tie"]


def scores_of(study: Study, judged: Judged) -> Iterator[tuple[int, int]]:
    """(number of the model, score) of each answer that was scored."""
    order = shown_order(study.id, judged.position, judged.user, len(study.setups))
    return zip(order, judged.judgement.scores, strict=False)


def _median(judged: Sequence[Judged]) -> float | None:
    took = [one.seconds for one in judged if one.seconds is not None]
    return median(took) if took else None


def _mean(values: Sequence[int]) -> float | None:
    return mean(values) if values else None
