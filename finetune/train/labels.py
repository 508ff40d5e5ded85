"""Which answers are good and which are bad, by `meta.label` of the rows that were encoded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from common.errors import UserError
from finetune.encoding.token_store import Array
from finetune.files.line_chunks import BOM
from finetune.recipes.sections import Source
from finetune.rows.fast_row import parse_row
from finetune.train.batches import ChosenSequences


def labels_of(rows: ChosenSequences, sources: Sequence[Source | None]) -> Array:
    """For each sequence whether its row has `meta.label: true`; sources: the file behind each store of
    `rows`. Raises UserError where a row has no label."""
    labels = np.zeros(len(rows), bool)
    for number, (store, source) in enumerate(zip(rows.stores, sources, strict=True)):
        if source is None:
            continue
        mine = np.flatnonzero(rows.places[:, 0] == number)
        with source.path.open("rb") as file:
            for sequence in mine:
                place = int(store.places[rows.places[sequence, 1]])
                file.seek(place)
                labels[sequence] = _label(file.readline().removeprefix(BOM), source.path, place)
    return labels


def _label(line: bytes, path: Path, place: int) -> bool:
    label = parse_row(line).meta.get("label")
    if isinstance(label, bool):
        return label
    with path.open("rb") as file:
        number = 1 + file.read(place).count(b"\n")
    said = "none" if label is None else repr(label)
    raise UserError(
        f"{path}, line {number}: method kto learns from rows whose meta.label is true (a good answer) or "
        f"false (a bad one); this one has {said}.",
    )
