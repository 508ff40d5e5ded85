"""Shows rows as training will see them."""

from typing import TYPE_CHECKING

import numpy as np

from common.escape import escape_controls
from finetune.encoding.encode import IGNORED
from finetune.encoding.text_ids import decoded
from finetune.train.batches import ChosenSequences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


SHOWN_ROWS = 3
SHOWN_CHARACTERS = 700
"""Most characters of a span that the loss leaves out; a longer one is shortened in its middle."""
GREEN, DIM, PLAIN = "\x1b[32m", "\x1b[2m", "\x1b[0m"


def show_rows(tokenizer: "PreTrainedTokenizerBase", rows: ChosenSequences, colour: bool) -> str:
    """Three rows as text: what is learnt is green, or between ⟦ and ⟧ without `colour`; the rest is only
    read."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN_ROWS, len(rows))).astype(int))
    opening, closing = (GREEN, PLAIN) if colour else ("⟦", "⟧")
    shown = []
    for index in chosen:
        ids, labels = rows.sequence(int(index))
        borders = np.flatnonzero(np.diff((labels != IGNORED).astype(int))) + 1
        parts = []
        for span in np.split(np.arange(len(ids)), borders):
            text = escape_controls(decoded(tokenizer, ids[span]), keep="\n\t")
            if labels[span[0]] != IGNORED:
                parts.append(f"{opening}{text}{closing}")
            else:
                parts.append(f"{DIM}{_shortened(text)}{PLAIN}" if colour else _shortened(text))
        shown.append(f"row {index + 1} of {len(rows):,}, {len(ids)} tokens\n{''.join(parts)}")
    return "\n\n".join(shown)


def _shortened(text: str) -> str:
    half = SHOWN_CHARACTERS // 2
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:half]} … {text[-half:]}"
