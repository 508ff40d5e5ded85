"""What people thought of answers, as the gateway stored it, made into data for the next training.

Votes become pairs (DPO), good ratings become rows. A prompt and its answers that were judged several times
count once, by majority and by mean.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import UserError
from common.feedback import JudgedAnswer, JudgedRating, JudgedVote, Message
from common.prompt_hash import prompt_hash
from finetune.rows.row import Pair, Row

CONTEXT_MARK = "\n\nInput:\n"
"""Between instruction and context in a user's message (finetune.rows.row.to_messages)."""
SOURCE = "kodolly-feedback"
APART = 2
"""Points between two ratings of answers to one prompt from which on they make a pair."""


class StoredVote(JudgedVote):
    """A vote as `GET /v1/feedback/votes` lists it."""

    model_config = ConfigDict(extra="ignore")
    id: str
    held_out: bool = False

    @property
    def question(self) -> str:
        """Hash of what was asked."""
        return prompt_hash(self.left.messages)


class StoredRating(JudgedRating):
    """A rating as `GET /v1/feedback/ratings` lists it."""

    model_config = ConfigDict(extra="ignore")
    id: str
    held_out: bool = False

    @property
    def question(self) -> str:
        """Hash of what was asked."""
        return prompt_hash(self.answer.messages)


@dataclass
class Training:
    """Data for the next training, and what was left out and why."""

    pairs: list[Pair] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def parse_feedback(
    votes: Iterable[Any], ratings: Iterable[Any]
) -> tuple[list[StoredVote], list[StoredRating]]:
    """The gateway's lists as types. Raises UserError."""
    try:
        return [StoredVote.model_validate(vote) for vote in votes], [
            StoredRating.model_validate(rating) for rating in ratings
        ]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"This is not a gateway's feedback ({where}: {first['msg']}).") from error


def training_data(
    votes: Sequence[StoredVote],
    ratings: Sequence[StoredRating],
    *,
    min_score: float = 4.0,
    without: frozenset[str] = frozenset(),
) -> Training:
    """Pairs out of votes and of ratings at least two points apart; rows out of answers rated `min_score` on
    average. Answers of the models in `without` (whose provider forbids training on them) are in neither, nor
    is anything on a question that is held out, whenever it was asked."""
    made = Training()
    everything: list[StoredVote | StoredRating] = [*votes, *ratings]
    held = {one.question for one in everything if one.held_out}
    made.left_out["held out for judging"] = sum(one.question in held for one in everything)
    ratings = [
        one for one in ratings if one.score is not None and one.answer.messages and one.question not in held
    ]
    votes = [one for one in votes if one.left.messages and one.right.messages and one.question not in held]
    for prompt, better, worse, source in _decided(votes, ratings, made.left_out):
        _add_pair(made, prompt, better, worse, source, without)
    for (prompt, _), rated in _by_answer(ratings).items():
        if _mean(rated) >= min_score:
            _add_row(made, prompt, rated, without)
    return made


def write_training(items: Sequence[BaseModel], path: Path) -> None:
    """JSONL, Hangul as it is. Raises UserError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as out:
            for item in items:
                out.write(json.dumps(item.model_dump(exclude_none=True), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


Prompt = tuple[tuple[str, str], ...]
"""(role, content) of every message before the answer."""


def _prompt(messages: Sequence[Message]) -> Prompt:
    return tuple((message.role, message.content) for message in messages)


def _by_answer(ratings: Sequence[StoredRating]) -> dict[tuple[Prompt, str], list[StoredRating]]:
    found: dict[tuple[Prompt, str], list[StoredRating]] = defaultdict(list)
    for rating in ratings:
        found[_prompt(rating.answer.messages), rating.answer.answer.strip()].append(rating)
    return found


def _mean(ratings: Sequence[StoredRating]) -> float:
    return sum(rating.score or 0 for rating in ratings) / len(ratings)


def _decided(
    votes: Sequence[StoredVote], ratings: Sequence[StoredRating], left_out: Counter[str]
) -> list[tuple[Prompt, JudgedAnswer, JudgedAnswer, str]]:
    """(prompt, better, worse, id of the vote or rating)."""
    tallies: dict[tuple[Prompt, str, str], list[tuple[JudgedAnswer, JudgedAnswer, str]]] = defaultdict(list)
    for vote in votes:
        if vote.choice in ("tie", "both_bad"):
            left_out["no winner"] += 1
        elif _prompt(vote.left.messages) != _prompt(vote.right.messages):
            left_out["the two answers are to different conversations"] += 1
        elif vote.left.answer.strip() == vote.right.answer.strip():
            left_out["the two answers are the same"] += 1
        else:
            sides = (vote.left, vote.right) if vote.choice == "left" else (vote.right, vote.left)
            texts = sorted(answer.answer.strip() for answer in sides)
            tallies[_prompt(vote.left.messages), texts[0], texts[1]].append((*sides, vote.id))
    found = []
    for (prompt, text, _), cast in tallies.items():
        for_first = [entry for entry in cast if entry[0].answer.strip() == text]
        against = [entry for entry in cast if entry[0].answer.strip() != text]
        if len(for_first) == len(against):
            left_out["votes on the same two answers cancel out"] += len(cast)
            continue
        majority = max(for_first, against, key=len)
        left_out["voted on before"] += len(cast) - 1
        found.append((prompt, *majority[0]))
    seen = {(prompt, frozenset((a.answer.strip(), b.answer.strip()))) for prompt, a, b, _ in found}
    for prompt, better, worse, source in _rated_apart(ratings):
        if (prompt, frozenset((better.answer.strip(), worse.answer.strip()))) not in seen:
            found.append((prompt, better, worse, source))
    return found


def _rated_apart(ratings: Sequence[StoredRating]) -> list[tuple[Prompt, JudgedAnswer, JudgedAnswer, str]]:
    """Best and worst rated answer to one prompt, where they are at least APART points apart."""
    prompts: dict[Prompt, list[list[StoredRating]]] = defaultdict(list)
    for (prompt, _), rated in _by_answer(ratings).items():
        prompts[prompt].append(rated)
    found = []
    for prompt, answers in prompts.items():
        best, worst = max(answers, key=_mean), min(answers, key=_mean)
        if _mean(best) - _mean(worst) >= APART:
            found.append((prompt, best[0].answer, worst[0].answer, best[0].id))
    return found


def _add_pair(
    made: Training,
    prompt: Prompt,
    better: JudgedAnswer,
    worse: JudgedAnswer,
    source: str,
    without: frozenset[str],
) -> None:
    if {better.model, worse.model} & without:
        made.left_out["answer of a model that is left out"] += 1
    elif better.finish_reason not in (None, "stop"):
        made.left_out["the better answer was cut off"] += 1
    elif (question := _question(prompt)) is None:
        made.left_out["the conversation is not in turns"] += 1
    else:
        meta = {"source": SOURCE, "id": source, "chosen_model": better.model, "rejected_model": worse.model}
        try:
            pair = Pair(**question, chosen=better.answer, rejected=worse.answer, meta=meta)
        except ValidationError:
            made.left_out["an answer or question is empty"] += 1
        else:
            made.pairs.append(pair)


def _add_row(made: Training, prompt: Prompt, rated: Sequence[StoredRating], without: frozenset[str]) -> None:
    answer = rated[0].answer
    if answer.model in without:
        made.left_out["answer of a model that is left out"] += 1
    elif answer.finish_reason not in (None, "stop"):
        made.left_out["the better answer was cut off"] += 1
    elif (question := _question(prompt)) is None:
        made.left_out["the conversation is not in turns"] += 1
    else:
        meta = {"source": SOURCE, "id": rated[0].id, "model": answer.model, "score": round(_mean(rated), 2)}
        category = "closed_qa" if question["context"] else "general_qa"
        try:
            row = Row(**question, response=answer.answer, category=category, meta=meta)
        except ValidationError:
            made.left_out["an answer or question is empty"] += 1
        else:
            made.rows.append(row)


def _question(prompt: Prompt) -> dict[str, Any] | None:
    """`instruction`, `context` and `history` of a conversation; None when its turns do not alternate."""
    system = prompt[:1] if prompt[0][0] == "system" else ()
    turns = prompt[len(system) :]
    expected = ["user", "assistant"] * (len(turns) // 2) + ["user"]
    if [role for role, _ in turns] != expected:
        return None
    instruction, _, context = turns[-1][1].partition(CONTEXT_MARK)
    history = [{"role": role, "content": content} for role, content in (*system, *turns[:-1])]
    return {"instruction": instruction, "context": context, "history": history}
