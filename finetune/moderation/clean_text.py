"""Texts known to be harmless (Dolly rows or plain lines) as clean sentences beside the labelled ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import UserError
from common.sentences import split_sentences
from finetune.data.load import load_rows
from finetune.files.text_lines import text_lines
from finetune.moderation.dialogues import Sentence

CLEAN_TEXT = "clean text "
"""Prefix of `dialogue` for sentences from a clean text."""


def is_clean_text(sentence: Sentence) -> bool:
    """Whether the sentence comes from a text given as clean, not from a labelled dialogue."""
    return sentence.dialogue.startswith(CLEAN_TEXT)


def clean_sentences(paths: Sequence[Path]) -> list[Sentence]:
    """The sentences of .jsonl files (each row's instruction and response) and of plain text (its lines).

    Sentences of one row or line share a dialogue. Raises UserError for a file that is unreadable or empty.
    """
    return [
        Sentence(f"{CLEAN_TEXT}{path}#{number}", sentence, frozenset(), 0.0)
        for path in paths
        for number, text in enumerate(_texts(path))
        for sentence in split_sentences(text)
    ]


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".jsonl":
        for row in load_rows(path):
            yield f"{row.instruction}\n{row.response}"
        return
    lines = text_lines(path, "The clean text")
    if not lines:
        raise UserError(f"{path} is empty.")
    yield from (line for _, line in lines)
