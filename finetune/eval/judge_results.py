"""Marks, win rates, and how far the judge can be trusted, computed from its verdicts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from finetune.eval.intervals import Estimate, estimate, wilson
from finetune.eval.judge import JudgedAnswers, JudgeVerdict
from finetune.eval.report import SAMPLES, EvalReport, Sample, hash_texts, now, score, versions

ALL = "all"
"""Task name of the mark over all categories."""


@dataclass(frozen=True)
class JudgedPair:
    """The judge's comparison of two models, whose answers it saw in both orders."""

    first: str
    second: str
    wins: int
    """Turns in which the answer of `first` was preferred in both orders."""
    losses: int
    ties: int
    """Turns with a tie in both orders, or with verdicts that contradict each other."""
    contradicted: int
    """Those of the ties in which the preference changed with the order."""
    unread: int
    """Turns that are not counted, as a verdict could not be read."""
    win_rate: Estimate | None
    """Win rate of `first`, a tie counted as half, with Wilson's 95% interval. None when nothing was read."""


@dataclass(frozen=True)
class Trust:
    """How reliable the judge is."""

    verdicts: int
    unread: int
    """Verdicts without a mark or preference in them."""
    first_rate: Estimate | None
    """Share of decided preferences that went to the answer shown first: 0.5 means no position bias."""
    decided: int
    agreement: Estimate | None
    """Share of pairs of answers that got the same verdict in both orders."""


def mark_reports(
    verdicts: Sequence[JudgeVerdict], answers: dict[str, dict[str, JudgedAnswers]]
) -> list[EvalReport]:
    """For each model a report, as `compare` takes it, of its marks overall, by category and by turn.

    A question's mark is the mean of its turns' marks.
    """
    by_model: dict[str, list[JudgeVerdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.mode == "single":
            by_model[verdict.models[0]].append(verdict)
    return [_mark_report(model, given, answers[model]) for model, given in by_model.items()]


def pair_results(verdicts: Sequence[JudgeVerdict]) -> list[JudgedPair]:
    """Wins, losses and ties of every two models over all questions and turns."""
    pairs: dict[tuple[str, str], list[tuple[JudgeVerdict, JudgeVerdict]]] = defaultdict(list)
    for one, other in _both_orders(verdicts):
        pairs[one.models[0], one.models[1]].append((one, other))
    return [_judged_pair(*models, judged) for models, judged in pairs.items()]


def trust(verdicts: Sequence[JudgeVerdict]) -> Trust:
    """Count unreadable verdicts, and estimate position bias and agreement between the two orders."""
    sided = [verdict.result for verdict in verdicts if verdict.result in ("A", "B")]
    orders = [
        (one.result, other.result)
        for one, other in _both_orders(verdicts)
        if one.result is not None and other.result is not None
    ]
    same = sum(first == _turned(second) for first, second in orders)
    return Trust(
        verdicts=len(verdicts),
        unread=sum(verdict.result is None for verdict in verdicts),
        first_rate=wilson(sided.count("A"), len(sided)) if sided else None,
        decided=len(sided),
        agreement=wilson(same, len(orders)) if orders else None,
    )


def summary(verdicts: Sequence[JudgeVerdict], judge: str) -> dict[str, object]:
    """The content of summary.json."""
    marks: dict[str, list[list[float]]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.mode == "single" and isinstance(verdict.result, float):
            marks[verdict.models[0]].append([verdict.result])
    return {
        "judge": judge,
        "marks": {model: asdict(estimate("rating", values)) for model, values in marks.items()},
        "pairs": [asdict(pair) for pair in pair_results(verdicts)],
        "trust": asdict(trust(verdicts)),
    }


def _mark_report(model: str, verdicts: list[JudgeVerdict], answers: dict[str, JudgedAnswers]) -> EvalReport:
    questions: dict[str, list[JudgeVerdict]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.result is not None:
            questions[verdict.question].append(verdict)
    groups: dict[str, list[str]] = defaultdict(list)
    for question, given in questions.items():
        groups[ALL].append(question)
        groups[given[0].category].append(question)
    scores = []
    for group, ids in groups.items():
        items = [[_mean(verdict.result for verdict in questions[question])] for question in ids]
        scores.append(score(group, "rating", items, hash_texts(ids)))
    for turn in sorted({verdict.turn for verdict in verdicts}):
        judged = [v for v in verdicts if v.turn == turn and v.result is not None]
        if judged:
            items = [[_mean([verdict.result])] for verdict in judged]
            asked = hash_texts(verdict.question for verdict in judged)
            scores.append(score(f"turn {turn}", "rating", items, asked))
    notes = []
    if unread := sum(verdict.result is None for verdict in verdicts):
        notes.append(f"{unread} of {len(verdicts)} verdicts hold no mark and are not counted.")
    if cut := sum(not answer.finished for answer in answers.values()):
        notes.append(f"{cut} of {len(answers)} answers were cut off or did not fit the model's context.")
    return EvalReport(
        kind="judge",
        model=model,
        source="answers.jsonl",
        scores=scores,
        settings={"judge": verdicts[0].judge},
        notes=notes,
        samples=[
            Sample(question=question, answer="\n".join(answer.answers))
            for question, answer in list(answers.items())[:SAMPLES]
        ],
        created=now(),
        versions=versions(),
    )


def _mean(results: Iterable[str | float | None]) -> float:
    marks = [float(result) for result in results if result is not None]
    return sum(marks) / len(marks)


def _both_orders(verdicts: Sequence[JudgeVerdict]) -> list[tuple[JudgeVerdict, JudgeVerdict]]:
    """The verdicts on (first, second) and on (second, first), for each question and turn."""
    found = {(v.question, v.turn, v.models): v for v in verdicts if v.mode == "pairwise"}
    made, seen = [], set()
    for (question, turn, models), verdict in found.items():
        other = found.get((question, turn, (models[1], models[0])))
        if other is not None and (question, turn, frozenset(models)) not in seen:
            seen.add((question, turn, frozenset(models)))
            made.append((verdict, other))
    return made


def _turned(result: object) -> object:
    """A preference with A and B exchanged."""
    return {"A": "B", "B": "A"}.get(str(result), result)


def _judged_pair(first: str, second: str, judged: list[tuple[JudgeVerdict, JudgeVerdict]]) -> JudgedPair:
    read = [(a.result, _turned(b.result)) for a, b in judged if a.result is not None and b.result is not None]
    wins = sum(verdict == ("A", "A") for verdict in read)
    losses = sum(verdict == ("B", "B") for verdict in read)
    ties = len(read) - wins - losses
    return JudgedPair(
        first=first,
        second=second,
        wins=wins,
        losses=losses,
        ties=ties,
        contradicted=sum(one != other for one, other in read),
        unread=len(judged) - len(read),
        win_rate=wilson(wins + ties / 2, len(read)) if read else None,
    )
