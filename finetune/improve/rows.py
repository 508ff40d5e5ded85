"""The files of a turn: what it trains on, and what its result is judged by."""

import random
import sys
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.feedback import JudgedAnswer
from finetune.data.from_feedback import (
    NOTHING_SAID,
    SOURCE,
    LastWords,
    Training,
    asked,
    made_of,
    question_hash,
    replayed,
    training_data,
    write_training,
)
from finetune.data.stored_feedback import Feedback, Sources
from finetune.improve.method import Counts
from finetune.rows.row import Pair, Row

PAIRS, LABELLED, ROWS = "pairs.jsonl", "labelled.jsonl", "rows.jsonl"
HELD_OUT, OLD_ROWS, QUESTIONS = "held-out.jsonl", "old-rows.jsonl", "questions.jsonl"
OLD_ROWS_MOST = 100
"""Most earlier rows on which the result is tested for forgetting."""
QUESTIONS_MOST = 100
"""Most questions whose answers before and after are compared; held-out questions come first."""
REPLAYED_LEAST = 500
"""Earlier rows that are mixed in however few new ones there are: with 120 beside 58 new rows a LoRA of the
demo model forgot a sixth of what it knew."""
SEED = 42


@dataclass(frozen=True)
class TurnRows:
    """The content of a turn's files."""

    made: Training
    held_out: list[Pair]
    replay: list[Row] = field(default_factory=list)
    old_rows: list[Row] = field(default_factory=list)

    def counts(self) -> Counts:
        """How much there is to learn from."""
        good = sum(bool(row.meta["label"]) for row in self.made.labelled)
        return Counts(
            pairs=len(self.made.pairs),
            good=good,
            bad=len(self.made.labelled) - good,
            corrections=sum(row.meta["from"] == "correction" for row in self.made.rows),
            held_out=len({question_hash(pair) for pair in self.held_out}),
        )

    def left_out(self) -> Counter[str]:
        """Reason -> how many judgements became no row."""
        return +self.made.left_out

    def write(self, directory: Path) -> None:
        """Write the turn's files into `directory`. Raises UserError."""
        write_training([*self.made.pairs, *replayed_pairs(self.replay)], directory / PAIRS)
        write_training([*self.made.labelled, *replayed_labelled(self.replay)], directory / LABELLED)
        write_training([*self.made.rows, *self.replay], directory / ROWS)
        write_training(self.held_out, directory / HELD_OUT)
        write_training(self.old_rows, directory / OLD_ROWS)
        write_training(self.questions(), directory / QUESTIONS)

    def questions(self) -> list[Row]:
        """The questions that both checkpoints will answer, without duplicates, with the answer that people
        preferred."""
        wanted: dict[str, Row] = {}
        for pair in (*self.held_out, *self.made.pairs):
            held = pair in self.held_out
            row = _preferred(pair, "held out" if held else "trained on")
            wanted.setdefault(question_hash(pair), row)
        for row in self.made.rows:
            told = row.model_copy(update={"meta": {"from": "trained on"}})
            wanted.setdefault(question_hash(row), told)
        return list(wanted.values())[:QUESTIONS_MOST]


@dataclass(frozen=True)
class Replay:
    """Rows of earlier trainings that are mixed in against forgetting."""

    files: tuple[Path, ...] = ()
    share: float = 1.0
    """How many are mixed in per new row, but at least REPLAYED_LEAST; 0 for none."""

    excluded: frozenset[str] = frozenset()
    """Ids of feedback that administrators have left out since earlier turns learnt from it."""
    of_turns: tuple[Path, ...] = ()
    """Files of earlier turns, of which rows are used only while the feedback that they were made of is kept:
    whoever is forgotten is not trained on again."""
    still_there: frozenset[str] = frozenset()
    """Ids of all feedback that the gateway keeps."""

    def count(self, new: int) -> int:
        """How many are mixed in with `new` new rows, if there are that many."""
        return max(round(new * self.share), REPLAYED_LEAST) if self.share else 0

    def rows(self, held_out: Collection[str], since: LastWords = NOTHING_SAID) -> list[Row]:
        """The earlier rows without duplicates and without held-out questions, shuffled by the seed.

        What earlier turns learnt from feedback comes first: among many rows of files it would be lost. Of a
        question the last word alone is kept: nothing that people have gainsaid `since`, or that an earlier
        turn, or a file, answers otherwise than a later turn. Raises UserError.
        """
        taught: list[Row] = []
        others: dict[tuple[str, str], Row] = {}
        known: set[str] = set()
        for path in reversed(self.of_turns):
            rows = replayed(path, sys.maxsize, SEED, held_out, self.excluded, self.still_there, since)
            learnt = [row for row in rows if row.meta.get("source") == SOURCE]
            taught += [row for row in learnt if asked(row) not in known]
            known |= {asked(row) for row in learnt}
            others |= {(asked(row), row.response): row for row in rows if row.meta.get("source") != SOURCE}
        for path in self.files:
            for row in replayed(path, sys.maxsize, SEED, held_out, self.excluded, since=since):
                others.setdefault((asked(row), row.response), row)
        rest = [row for (question, _), row in others.items() if question not in known]
        return [*_shuffled(taught), *_shuffled(rest)]


def turn_rows(
    feedback: Feedback, checkpoint: str, names: Collection[str], sources: Sources, replay: Replay
) -> TurnRows:
    """Turn the feedback on `checkpoint` that no training has used into rows, and choose what judges the
    result.

    The result is judged by held-out questions, whichever model of `names` answered them, and by a sample of
    all earlier rows, mixed in or not. Raises UserError.
    """
    held = feedback.held_out_questions()
    made = training_data(on_checkpoint(feedback, checkpoint).unused(), sources=sources)
    judging = of_names(feedback.on(held), names)
    held_out = made_of(judging.with_text(), sources=sources).pairs
    known = replay.rows(held, made.last_words())
    new = max(len(made.rows), len(made.pairs), len(made.labelled))
    return TurnRows(made, held_out, known[: replay.count(new)], _shuffled(known)[:OLD_ROWS_MOST])


def _shuffled(rows: Sequence[Row]) -> list[Row]:
    return random.Random(SEED).sample(rows, len(rows))


def replayed_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Earlier rows as pairs: each answer beside a worse one, the answer to another question. The loss on the
    better answers that a turn adds to DPO's then trains on them as supervised tuning would."""
    plain = [row for row in rows if not row.beyond_text()]
    pairs = []
    for row, other in zip(plain, [*plain[1:], *plain[:1]], strict=True):
        if row.response.strip() != other.response.strip():
            question = row.model_dump(include={"instruction", "context", "history", "category"})
            pair = Pair(**question, chosen=row.response, rejected=other.response, meta=_replayed(row))
            pairs.append(pair)
    return pairs


def replayed_labelled(rows: Sequence[Row]) -> list[Row]:
    """Earlier rows as good answers."""
    return [row.model_copy(update={"meta": {**_replayed(row), "label": True}}) for row in rows]


def _replayed(row: Row) -> dict[str, object]:
    return {**row.meta, "from": "replay"}


def on_checkpoint(feedback: Feedback, checkpoint: str) -> Feedback:
    """The votes and ratings that judge an answer of this checkpoint."""
    return Feedback(
        tuple(v for v in feedback.votes if checkpoint in (v.left.checkpoint, v.right.checkpoint)),
        tuple(r for r in feedback.ratings if r.answer.checkpoint == checkpoint),
    )


def of_names(feedback: Feedback, names: Collection[str]) -> Feedback:
    """The votes and ratings that judge an answer of one of these models."""

    def named(answer: JudgedAnswer) -> bool:
        return answer.model in names or answer.arm in names

    return Feedback(
        tuple(v for v in feedback.votes if named(v.left) or named(v.right)),
        tuple(r for r in feedback.ratings if named(r.answer)),
    )


def _preferred(pair: Pair, origin: str) -> Row:
    category = "closed_qa" if pair.context else "general_qa"
    return Row(
        instruction=pair.instruction,
        context=pair.context,
        history=pair.history,
        response=pair.chosen,
        category=category,
        meta={"from": origin},
    )
