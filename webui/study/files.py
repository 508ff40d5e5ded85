"""A study's judgements as a file: one line for each, with the prompt and the answers that it is about."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from webui.conversation import Turn
from webui.csv_text import csv_text
from webui.store.studies import Judged
from webui.study.figures import BOTH_BAD, TIE, scores_of, winner
from webui.study.plan import Study, shown_order

FileForm = Literal["csv", "jsonl"]
Row = dict[str, Any]
Mask = Callable[[Row], Row]
"""A row with masks in the place of personal data: of the fields `content` and `answer`."""


def judgement_rows(
    study: Study, judged: Iterable[Judged], answers: Mapping[tuple[int, int], Turn], mask: Mask | None
) -> list[Row]:
    """A row for each judgement, prompt by prompt. Answers stand in the order of the study's models, and
    `place` says where the rater saw each."""
    rows = [_row(study, one, answers) for one in judged]
    return [mask(row) for row in rows] if mask else rows


def _row(study: Study, judged: Judged, answers: Mapping[tuple[int, int], Turn]) -> Row:
    order = shown_order(study.id, judged.position, judged.user, len(study.setups))
    scores = dict(scores_of(study, judged))
    return {
        "study": study.name,
        "study_id": study.id,
        "id": judged.task,
        "prompt": judged.position + 1,
        "category": judged.prompt.category,
        "question": {"content": judged.prompt.question},
        "context": {"content": judged.prompt.context},
        "rater_id": judged.rater,
        "judged": judged.judged.isoformat(timespec="seconds"),
        "seconds": round(judged.seconds, 1) if judged.seconds is not None else None,
        "blind": study.blind,
        "choice": judged.judgement.choice,
        "winner": _winner(study, judged),
        "answers": [
            _answer(answers[judged.position, number], order.index(number) + 1, scores.get(number))
            for number in range(len(study.setups))
        ],
    }


def _winner(study: Study, judged: Judged) -> str | None:
    if judged.judgement.choice is None:
        return None
    number = winner(study, judged)
    return study.setups[number].model if number not in (TIE, BOTH_BAD) else judged.judgement.choice


def _answer(turn: Turn, place: int, score: int | None) -> Row:
    return {
        "model": turn.setup.model,
        "checkpoint": turn.checkpoint,
        "request_id": turn.request_id,
        "place": place,
        "score": score,
        "answer": turn.answer,
    }


def study_file(
    study: Study,
    judged: Iterable[Judged],
    answers: Mapping[tuple[int, int], Turn],
    mask: Mask | None,
    form: FileForm,
) -> bytes:
    """The whole file in UTF-8: seconds of work where there are many judgements."""
    return file_text(judgement_rows(study, judged, answers, mask), len(study.setups), form).encode()


def file_text(rows: Sequence[Row], models: int, form: FileForm) -> str:
    """The rows as CSV or JSON Lines. `models`: how many answers each has."""
    plain = [
        {**row, "question": row["question"]["content"], "context": row["context"]["content"]} for row in rows
    ]
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain)
    facts = ("model", "checkpoint", "place", "score", "answer")
    about = ("study", "id", "prompt", "category", "question", "context", "rater_id", "judged", "seconds")
    own = ("blind", "choice", "winner")
    head = [*about, *own, *(f"answer_{number}_{fact}" for number in range(1, models + 1) for fact in facts)]
    lines = [
        [*(row[name] for name in (*about, *own)), *(one[fact] for one in row["answers"] for fact in facts)]
        for row in plain
    ]
    return csv_text([head, *lines])


def file_name(form: FileForm) -> str:
    """With the day in it."""
    return f"kodolly-{datetime.now(UTC):%Y-%m-%d}-study.{form}"
