"""Data for the next training out of what people said of answers: pairs (DPO), answers with a label (KTO) and
rows (SFT). Questions that are held out for judging are in none of them."""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ValidationError

from common.errors import UserError
from common.feedback import JudgedAnswer, Message
from common.prompt_hash import prompt_hash
from common.template_facts import CONTEXT_MARK
from finetune.data.load import load_rows
from finetune.data.masked_rows import masked
from finetune.data.stored_feedback import OWN, Feedback, PromptMessages, Sources, prompt_of
from finetune.data.verdicts import (
    AnswerVerdict,
    Preference,
    correction_of,
    mean_score,
    preferences,
    scored_answers,
    verdicts,
)
from finetune.rows.row import Pair, Row

SOURCE = "kodolly-feedback"
BROKEN = "\ufffd"
"""Stands where a model gave a part of a character."""
MIN_SCORE = 4.0


@dataclass(frozen=True)
class LastWords:
    """What people said last of some questions."""

    answered: frozenset[str] = frozenset()
    """Questions (`asked`) that have a new row."""
    refused: frozenset[tuple[str, str]] = frozenset()
    """Questions, each with an answer that was found bad, or worse than another."""

    def allows(self, row: Row) -> bool:
        """Whether an earlier row may be taught beside it."""
        question = asked(row)
        return question not in self.answered and (question, row.response.strip()) not in self.refused


NOTHING_SAID = LastWords()


@dataclass
class Training:
    """Data for the next training, and what was left out and why."""

    pairs: list[Pair] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """Corrections, and answers that were rated well."""
    labelled: list[Row] = field(default_factory=list)
    """Answers with `meta.label`: true for a good one."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason -> judgements of which no pair or row was made."""
    not_labelled: Counter[str] = field(default_factory=Counter)
    """Reason -> judgements of which no labelled answer was made."""
    used: set[str] = field(default_factory=set)
    """Ids of all votes and ratings that something was made of."""
    masked: int = 0
    """Places in pairs and rows that held personal data."""

    def last_words(self) -> "LastWords":
        """What was said here last, beside which no earlier row may say otherwise."""
        bad = [(asked(row), row.response.strip()) for row in self.labelled if not row.meta["label"]]
        worse = [(asked(pair), pair.rejected.strip()) for pair in self.pairs]
        return LastWords(frozenset(map(asked, self.rows)), frozenset([*bad, *worse]))

    def mask(self) -> None:
        """Put masks in the place of personal data: a model would learn it by heart."""
        pairs, rows, labelled = (
            [masked(pair) for pair in self.pairs],
            [masked(row) for row in self.rows],
            [masked(row) for row in self.labelled],
        )
        self.pairs, self.rows, self.labelled = (
            [pair for pair, _ in pairs],
            [row for row, _ in rows],
            [row for row, _ in labelled],
        )
        self.masked = sum(count for _, count in (*pairs, *rows))


def training_data(feedback: Feedback, *, min_score: float = MIN_SCORE, sources: Sources = OWN) -> Training:
    """What the feedback teaches, but for questions that are held out, whenever they were asked.

    A rater has one voice on an answer or on two of them, the last; of several raters the majority counts.
    `min_score` is the mean rating from which on an answer becomes a row.
    """
    kept = feedback.on(feedback.held_out_questions(), instead=True)
    made = made_of(kept.with_text(), min_score=min_score, sources=sources)
    made.left_out["held out for judging"] = len(feedback) - len(kept)
    made.left_out["the conversation was not kept"] = len(kept) - len(kept.with_text())
    return made


def held_out_pairs(feedback: Feedback, sources: Sources = OWN) -> list[Pair]:
    """The pairs of held-out questions: to judge a training by, never to train on."""
    return made_of(feedback.on(feedback.held_out_questions()).with_text(), sources=sources).pairs


def made_of(feedback: Feedback, *, min_score: float = MIN_SCORE, sources: Sources = OWN) -> Training:
    """Everything that the feedback teaches, without the personal data in it."""
    made = Training()
    for preference in preferences(feedback, made.left_out):
        _add_pair(made, preference, sources)
    _add_rows(made, feedback, min_score, sources)
    _add_labelled(made, verdicts(feedback), sources)
    made.mask()
    return made


def replayed(
    path: Path,
    count: int,
    seed: int,
    held_out: Collection[str],
    excluded: Collection[str] = (),
    still_there: Collection[str] | None = None,
    since: LastWords = NOTHING_SAID,
) -> list[Row]:
    """At most `count` earlier rows, drawn by the seed, against forgetting; none on a question that is held
    out, none that people have gainsaid `since`, none that was made of feedback with an id of `excluded`, and
    where `still_there` is given, none of feedback that is not in it: its rater has been forgotten. Raises
    UserError."""
    known = [
        row
        for row in load_rows(path)
        if question_hash(row) not in held_out
        and since.allows(row)
        and row.meta.get("id") not in excluded
        and (still_there is None or _is_still_there(row, still_there))
    ]
    return random.Random(seed).sample(known, min(count, len(known)))


def _is_still_there(row: Row, ids: Collection[str]) -> bool:
    """Whether all feedback of which a row was made is among `ids`; true of rows that were not made of any."""
    if row.meta.get("source") != SOURCE:
        return True
    others = row.meta.get("others")
    return all(one in ids for one in (row.meta.get("id"), *(others if isinstance(others, list) else ())))


def asked(row: Row | Pair) -> str:
    """The question that is answered, with its context and the conversation before it."""
    return json.dumps([row.instruction, row.context, [turn.model_dump() for turn in row.history]])


def question_hash(row: Row | Pair) -> str:
    """The hash of its question, computed as the gateway does for a conversation."""
    text = row.instruction + (f"{CONTEXT_MARK}{row.context}" if row.context else "")
    return prompt_hash([Message(role="user", content=text)])


def write_training(items: Sequence[BaseModel], path: Path) -> None:
    """JSONL, Hangul as it is. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as out:
            for item in items:
                out.write(json.dumps(item.model_dump(exclude_none=True), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def _add_pair(made: Training, said: Preference, sources: Sources) -> None:
    better, worse = said.better, said.worse
    if not (sources.permit(better) and sources.permit(worse)):
        made.left_out["answer of a model that is left out"] += 1
    elif (flaw := _flaw(better)) is not None:
        made.left_out[f"the better answer {flaw}"] += 1
    elif (question := _question(said.prompt)) is None:
        made.left_out["the conversation is not in turns"] += 1
    else:
        corrected = said.origin == "correction"
        meta = _origin(said.id, said.origin) | {
            "chosen_model": "correction" if corrected else better.arm or better.model,
            "rejected_model": worse.arm or worse.model,
            "rejected_checkpoint": worse.checkpoint,
        }
        if not corrected:
            meta |= {"chosen_checkpoint": better.checkpoint, "licence": sources.licence(better)}
        try:
            pair = Pair(**question, chosen=better.answer, rejected=worse.answer, meta=_told(meta))
        except ValidationError:
            made.left_out["an answer or question is empty"] += 1
        else:
            made.pairs.append(pair)
            made.used |= said.voices | {said.id}


def _add_rows(made: Training, feedback: Feedback, min_score: float, sources: Sources) -> None:
    corrected: dict[tuple[PromptMessages, str], tuple[JudgedAnswer, str, bool]] = {}
    for rating in feedback.ratings:
        prompt = prompt_of(rating.answer.messages)
        if rating.correction is not None:
            # One correction of an answer, the last: two of them would contradict each other.
            found = correction_of(rating), rating.id, sources.permit(rating.answer)
            corrected[prompt, rating.answer.answer.strip()] = found
    for (prompt, _), (answer, row_id, permitted) in corrected.items():
        meta = _origin(row_id, "correction")
        if _add_row(made.rows, made.left_out, prompt, answer, meta, permitted=permitted):
            made.used.add(row_id)
    for (prompt, text), rated in scored_answers(feedback.ratings).items():
        if mean_score(rated) >= min_score and (prompt, text) not in corrected:
            answer = rated[0].answer
            meta = _origin(rated[0].id, "rating", [one.id for one in rated[1:]]) | _by(answer, sources)
            meta |= {"score": round(mean_score(rated), 2)}
            permitted = sources.permit(answer)
            if _add_row(made.rows, made.left_out, prompt, answer, meta, permitted=permitted):
                made.used |= {rating.id for rating in rated}


def _add_labelled(made: Training, said: Iterable[AnswerVerdict], sources: Sources) -> None:
    voices: dict[tuple[PromptMessages, str], dict[str, AnswerVerdict]] = defaultdict(dict)
    for verdict in said:
        voices[verdict.prompt, verdict.answer.answer.strip()][verdict.rater] = verdict
    for (prompt, _), of_raters in voices.items():
        good = [one for one in of_raters.values() if one.good]
        bad = [one for one in of_raters.values() if not one.good]
        if len(good) == len(bad):
            made.not_labelled["raters disagree whether the answer is good"] += 1
            continue
        first = max(good, bad, key=len)[0]
        corrected = first.origin == "correction" and first.good
        meta = _origin(first.id, first.origin) | ({} if corrected else _by(first.answer, sources))
        meta |= {"label": first.good, "raters": len(of_raters)}
        permitted = sources.permit(first.answer)
        if _add_row(made.labelled, made.not_labelled, prompt, first.answer, meta, permitted=permitted):
            made.used |= {one.id for one in of_raters.values()}


def _add_row(
    rows: list[Row],
    left_out: Counter[str],
    prompt: PromptMessages,
    answer: JudgedAnswer,
    meta: dict[str, object],
    *,
    permitted: bool,
) -> bool:
    """Whether the row was added; why not is counted."""
    if not permitted:
        left_out["answer of a model that is left out"] += 1
    elif (flaw := _flaw(answer, good=bool(meta.get("label", True)))) is not None:
        left_out[f"the answer {flaw}"] += 1
    elif (question := _question(prompt)) is None:
        left_out["the conversation is not in turns"] += 1
    else:
        category = "closed_qa" if question["context"] else "general_qa"
        try:
            row = Row(**question, response=answer.answer, category=category, meta=_told(meta))
        except ValidationError:
            left_out["an answer or question is empty"] += 1
        else:
            rows.append(row)
            return True
    return False


def _origin(feedback_id: str, origin: str, others: Sequence[str] = ()) -> dict[str, object]:
    """others: ids of further feedback that says the same, without which the row may not be used again."""
    made: dict[str, object] = {"source": SOURCE, "id": feedback_id, "from": origin}
    return made | ({"others": list(others)} if others else {})


def _by(answer: JudgedAnswer, sources: Sources) -> dict[str, object]:
    return {
        "model": answer.arm or answer.model,
        "checkpoint": answer.checkpoint,
        "licence": sources.licence(answer),
    }


def _told(meta: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in meta.items() if value is not None}


def _flaw(answer: JudgedAnswer, *, good: bool = True) -> str | None:
    """Why an answer is nothing to learn from, however people liked it; a bad one may hold anything."""
    if answer.finish_reason not in (None, "stop"):
        return "was cut off"
    if good and BROKEN in answer.answer:
        return "holds broken characters"
    return None


def _question(prompt: PromptMessages) -> dict[str, object] | None:
    """`instruction`, `context` and `history` of a conversation; None when its turns do not alternate."""
    system = prompt[:1] if prompt[0][0] == "system" else ()
    turns = prompt[len(system) :]
    expected = ["user", "assistant"] * (len(turns) // 2) + ["user"]
    if [role for role, _ in turns] != expected:
        return None
    instruction, _, context = turns[-1][1].partition(CONTEXT_MARK)
    history = [{"role": role, "content": content} for role, content in (*system, *turns[:-1])]
    return {"instruction": instruction, "context": context, "history": history}
