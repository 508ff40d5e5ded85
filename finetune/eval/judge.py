"""A judge model's marks and preferences for answers to Korean questions (LLM-as-a-judge), as in MT-bench.

OUTPUT/answers.jsonl and verdicts.jsonl hold every answer and every verdict in the judge's own words. A line
is appended as soon as it is there, and a run that was stopped resumes from these files.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from common.errors import UserError
from finetune.eval.judge_prompts import pair_prompt, read_mark, read_preference, single_prompt
from finetune.eval.models import EvalModel, Messages
from finetune.files.text_lines import text_lines
from finetune.progress import Progress, Report

QUESTIONS = Path(__file__).with_name("questions.jsonl")
VERDICT_TOKENS = 1024
ANSWERED_AT_ONCE = 16
Mode = Literal["single", "pairwise"]


class JudgeQuestion(BaseModel):
    """One question of one or two turns."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str = Field(min_length=1)
    category: str = Field(min_length=1)
    turns: tuple[str, ...] = Field(min_length=1)
    references: tuple[str, ...] = ()
    """The reference answer to each turn, for questions that have one."""


class JudgedAnswers(BaseModel):
    """A line of answers.jsonl."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    question: str
    asked: str
    """Hash of the question and of the settings with which it was asked."""
    answers: tuple[str, ...]
    finished: bool
    """False when an answer was cut at the token limit or the conversation exceeded the model's context."""


class JudgeVerdict(BaseModel):
    """A line of verdicts.jsonl."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    key: str
    """Hash of judge and prompt, so that no verdict is asked for twice or used for another answer."""
    mode: Mode
    judge: str
    question: str
    category: str
    turn: int
    """The turn that was judged, from 1."""
    models: tuple[str, ...]
    """The model that was marked; or the two that were compared, A and B in the order that the judge saw."""
    text: str
    """The judge's words."""
    result: float | Literal["A", "B", "tie"] | None
    """The mark or preference in these words; None when none could be read."""


@dataclass(frozen=True)
class _VerdictWanted:
    """A verdict that is still to be asked for."""

    key: str
    mode: Mode
    question: JudgeQuestion
    turn: int
    models: tuple[str, ...]
    messages: Messages


def load_questions(path: Path = QUESTIONS) -> list[JudgeQuestion]:
    """The questions of a JSONL file. Raises UserError with file and line."""
    questions = []
    for number, line in text_lines(path, "The file of questions"):
        try:
            questions.append(JudgeQuestion.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{path}, line {number}: {where or 'the line'}: {first['msg']}.") from error
    ids = [question.id for question in questions]
    if not questions or len(set(ids)) < len(ids):
        raise UserError(f"{path} holds no questions, or two with the same id.")
    return questions


def collect_answers(
    model: EvalModel,
    questions: Sequence[JudgeQuestion],
    output: Path,
    report: Report,
    *,
    max_tokens: int,
    temperature: float = 0.0,
) -> dict[str, JudgedAnswers]:
    """Question id -> the model's answers; those in answers.jsonl are not asked for again. Raises
    UserError."""
    path = output / "answers.jsonl"
    wanted = {question.id: _hash(question.turns, max_tokens, temperature) for question in questions}
    found = {
        line.question: line
        for line in read_lines(path, JudgedAnswers)
        if line.model == model.name and wanted.get(line.question) == line.asked
    }
    missing = [question for question in questions if question.id not in found]
    stage = f"{model.name}: answering"
    for first in range(0, len(missing), ANSWERED_AT_ONCE):
        some = missing[first : first + ANSWERED_AT_ONCE]
        made = _converse(model, some, max_tokens, temperature)
        for question, (answers, finished) in zip(some, made, strict=True):
            line = JudgedAnswers(
                model=model.name,
                question=question.id,
                asked=wanted[question.id],
                answers=answers,
                finished=finished,
            )
            append_line(path, line)
            found[question.id] = line
        done = len(questions) - len(missing) + first + len(some)
        report(Progress(stage, done / len(questions), over=done == len(questions)))
    return {question.id: found[question.id] for question in questions}


def collect_verdicts(
    judge: EvalModel,
    questions: Sequence[JudgeQuestion],
    answers: Mapping[str, Mapping[str, JudgedAnswers]],
    modes: Sequence[Mode],
    output: Path,
    report: Report,
) -> list[JudgeVerdict]:
    """A mark for every model's answer, and a preference for every two models' answers in both orders, as
    `modes` ask for them. Raises UserError."""
    path = output / "verdicts.jsonl"
    asked = [one for mode in modes for one in _wanted(mode, judge.name, questions, answers)]
    keys = {one.key for one in asked}
    found = {line.key: line for line in read_lines(path, JudgeVerdict) if line.key in keys}
    missing = [one for one in asked if one.key not in found]
    made = judge.answers([one.messages for one in missing], VERDICT_TOKENS)
    for number, (one, generated) in enumerate(zip(missing, made, strict=True), start=1):
        text = generated.text
        line = JudgeVerdict(
            key=one.key,
            mode=one.mode,
            judge=judge.name,
            question=one.question.id,
            category=one.question.category,
            turn=one.turn,
            models=one.models,
            text=text,
            result=read_mark(text) if one.mode == "single" else read_preference(text),
        )
        append_line(path, line)
        found[one.key] = line
        done = len(asked) - len(missing) + number
        report(Progress(f"{judge.name}: judging", done / len(asked), over=done == len(asked)))
    return [found[one.key] for one in asked]


def _converse(
    model: EvalModel, questions: Sequence[JudgeQuestion], max_tokens: int, temperature: float
) -> list[tuple[tuple[str, ...], bool]]:
    """(answers, whether all of them are whole) for each question. Turns are asked one after the other, each
    with the turns before it."""
    said: list[list[str]] = [[] for _ in questions]
    whole = [True] * len(questions)
    for turn in range(max(len(question.turns) for question in questions)):
        here = [n for n, question in enumerate(questions) if len(question.turns) > turn]
        conversations = [_conversation(questions[n].turns[: turn + 1], said[n]) for n in here]
        for n, answer in zip(here, model.answers(conversations, max_tokens, temperature), strict=True):
            said[n].append(answer.text)
            whole[n] = whole[n] and answer.finished
    return [(tuple(answers), finished) for answers, finished in zip(said, whole, strict=True)]


def _conversation(turns: Sequence[str], answers: Sequence[str]) -> Messages:
    messages: Messages = []
    for turn, answer in itertools.zip_longest(turns, answers):
        messages.append({"role": "user", "content": turn})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def _wanted(
    mode: Mode,
    judge: str,
    questions: Sequence[JudgeQuestion],
    answers: Mapping[str, Mapping[str, JudgedAnswers]],
) -> Iterator[_VerdictWanted]:
    groups = [(model,) for model in answers] if mode == "single" else list(itertools.permutations(answers, 2))
    for models, question in itertools.product(groups, questions):
        given = [answers[model][question.id].answers for model in models]
        for turn in range(1, len(question.turns) + 1):
            turns, references = question.turns[:turn], question.references[:turn]
            said = [texts[:turn] for texts in given]
            if mode == "single":
                messages = single_prompt(turns, said[0], references)
            else:
                messages = pair_prompt(turns, said[0], said[1], references)
            key = _hash(judge, mode, models, question.id, turn, messages)
            yield _VerdictWanted(key, mode, question, turn, models, messages)


LineT = TypeVar("LineT", JudgedAnswers, JudgeVerdict)


def append_line(path: Path, line: JudgedAnswers | JudgeVerdict) -> None:
    """Append a JSON line; the file is closed behind it, so that a killed run loses this line at most. Raises
    UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line.model_dump(), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def read_lines(path: Path, kind: type[LineT]) -> list[LineT]:
    """The lines of an earlier run. A last line that a kill cut short is removed from the file. Raises
    UserError."""
    if not path.exists():
        return []
    try:
        content = path.read_bytes()
        if not content.endswith(b"\n") and content:
            content = content[: content.rfind(b"\n") + 1]
            path.write_bytes(content)
        return [kind.model_validate_json(line) for line in content.splitlines()]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise UserError(
            f"{path} is not from an earlier run.", hint="Give another output directory."
        ) from error


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()[:16]
