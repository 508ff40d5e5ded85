"""Cut rows into train, validation and test by a hash of what they ask: no row changes sides when others come
or go."""

import hashlib
from contextlib import ExitStack
from pathlib import Path

from common.errors import UserError
from finetune.files.whole import whole_file
from finetune.progress import Progress, Report, finished, silent
from finetune.rows.fast_row import JsonRow
from finetune.rows.reader import row_lines

LONG_CONTEXT = 50
"""Rows about the same context of so many characters stay together: their answers are in each other's
context."""


def split(
    path: Path,
    directory: Path,
    *,
    validation: float,
    test: float = 0.0,
    seed: int = 0,
    report: Report = silent,
) -> dict[str, int]:
    """Write train.jsonl, validation.jsonl and test.jsonl (those with a share) to `directory`; (name -> rows).

    Lines are copied byte by byte. A larger share takes rows in and gives none away. Raises UserError for
    broken rows, shares that leave nothing to train on, and shares so small that no row fell into them.
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and 0 < validation + test < 1):
        raise UserError(
            "Shares must lie between 0 and 1, and leave something to train on.",
            hint="For example --validation 0.02 --test 0.01.",
        )
    names = ["train", *(["validation"] if validation else []), *(["test"] if test else [])]
    counts = dict.fromkeys(names, 0)
    with ExitStack() as stack:
        files = {name: stack.enter_context(whole_file(directory / f"{name}.jsonl")) for name in names}
        for line, row, done in row_lines(path):
            place = split_place(row, seed)
            name = "validation" if place < validation else "test" if place >= 1 - test else "train"
            files[name].write(line)
            counts[name] += 1
            if sum(counts.values()) % 10_000 == 0:
                report(Progress("splitting", done, f"{sum(counts.values()):,} rows"))
        for name, count in counts.items():
            if not count:
                raise UserError(
                    f"No row of {path} fell into {name}: there are only {sum(counts.values())}.",
                    hint="Take a larger share, or another --seed.",
                )
    report(finished("splitting", f"{sum(counts.values()):,} rows"))
    return counts


def split_place(row: JsonRow, seed: int) -> float:
    """Where a row stands between 0 and 1, by its context (a long one) or else its first question and context.

    A conversation's rows go by its first question, so that a shorter form of it is not in another part.
    """
    first = next((turn.content for turn in row.history if turn.role == "user"), row.instruction)
    key = row.context if len(row.context) >= LONG_CONTEXT else f"{first}\x1f{row.context}"
    plain = " ".join(key.split())
    digest = hashlib.blake2b(f"{seed}\x1f{plain}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
