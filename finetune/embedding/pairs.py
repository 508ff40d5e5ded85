"""What a model of vectors learns from: questions with their passages, of the recipe's files."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.checkpoint import DataSource
from common.errors import UserError
from finetune.files.hashes import file_hash
from finetune.recipes.recipe import EmbeddingTuning
from finetune.recipes.sections import Source
from finetune.rows.question import QuestionRow, read_question_rows

if TYPE_CHECKING:
    from datasets import Dataset  # type: ignore[import-untyped]


@dataclass(frozen=True)
class QuestionRows:
    """The rows of a run, without duplicates."""

    train: tuple[QuestionRow, ...]
    held_out: tuple[QuestionRow, ...]
    """Rows for validation; no passage of theirs answers a question of `train` where a share is held out."""
    card: tuple[DataSource, ...]


def gather_questions(recipe: EmbeddingTuning) -> QuestionRows:
    """Read the recipe's files, draw the shares and hold out the validation rows. Raises UserError."""
    files = [(source, _drawn(source, recipe.seed)) for source in recipe.data]
    rows = list(dict.fromkeys(row for _, drawn in files for row in drawn))
    held_out: list[QuestionRow] = []
    if isinstance(recipe.validation, Source):
        held_out = list(dict.fromkeys(_drawn(recipe.validation, recipe.seed)))
        files.append((recipe.validation, held_out))
    elif recipe.validation is not None:
        share = recipe.validation
        held_out = [row for row in rows if _place(row.passage, recipe.seed) < share]
        rows = [row for row in rows if _place(row.passage, recipe.seed) >= share]
        if not held_out:
            raise UserError(
                "No row fell into the validation share.", hint="Take a larger share, or more rows."
            )
    if len({row.passage for row in rows}) < 2:
        raise UserError("Method embed needs questions about two passages or more: it tells one from another.")
    card = [DataSource(path=s.path.name, sha256=file_hash(s.path), rows=len(drawn)) for s, drawn in files]
    return QuestionRows(tuple(rows), tuple(held_out), tuple(card))


def _drawn(source: Source, seed: int) -> list[QuestionRow]:
    rows = [row for row in read_question_rows(source.path) if source.split in (None, row.split)]
    if not rows:
        raise UserError(f"{source.path} holds no rows with meta.split {source.split!r}.")
    if source.share == 1:
        return rows
    number = max(1, round(len(rows) * source.share))
    return [rows[at] for at in sorted(random.Random(seed).sample(range(len(rows)), number))]


def _place(passage: str, seed: int) -> float:
    """Where a passage stands between 0 and 1, whatever other rows there are."""
    digest = hashlib.blake2b(f"{seed}\x1f{passage}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def as_dataset(rows: Sequence[QuestionRow], recipe: EmbeddingTuning) -> "Dataset":
    """The columns question, passage, negative_1 ... that the loss takes. A row with fewer negatives than the
    one with the most gets passages of other rows in their place."""
    from datasets import Dataset

    most = max(len(row.negatives) for row in rows)
    filled = list(_filled(rows, most, recipe.seed))
    columns = {"question": [row.question for row in rows], "passage": [row.passage for row in rows]}
    columns |= {f"negative_{at + 1}": [texts[at] for texts in filled] for at in range(most)}
    return Dataset.from_dict(columns)


def _filled(rows: Sequence[QuestionRow], most: int, seed: int) -> Iterator[list[str]]:
    """`most` negatives for each row."""
    draw = random.Random(seed)
    passages = sorted({row.passage for row in rows})
    answers: dict[str, set[str]] = {}
    for row in rows:
        answers.setdefault(row.question, set()).add(row.passage)
    for row in rows:
        kept = [text for text in row.negatives if text not in answers[row.question]]
        if len(kept) < most:
            taken = answers[row.question] | set(kept)
            others = draw.sample(passages, min(len(passages), most + len(taken)))
            kept += [text for text in others if text not in taken][: most - len(kept)]
        if len(kept) < most:
            raise UserError(
                f"There are too few passages to give every question {most} negatives.",
                hint="Leave out `negatives`, or give more rows.",
            )
        yield kept
