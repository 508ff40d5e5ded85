"""Rows and pairs without the personal data that people type into chats."""

from typing import TypeVar

from finetune.data.clean.personal_data import Masked, mask_personal_data
from finetune.rows.row import Pair, Row, RowTurn

Item = TypeVar("Item", Row, Pair)
MaskedText = tuple[str, list[Masked]]
"""A text with masks, and what they stand for."""
TEXTS = ("instruction", "context", "response", "chosen", "rejected")


def masked(item: Item) -> tuple[Item, int]:
    """The same with masks such as [전화번호], and how many places were masked."""
    found: dict[str, MaskedText] = {
        name: mask_personal_data(getattr(item, name)) for name in TEXTS if hasattr(item, name)
    }
    turns: list[MaskedText] = [mask_personal_data(turn.content) for turn in item.history]
    count: int = sum([len(places) for _, places in [*found.values(), *turns]])
    if not count:
        return item, 0
    texts: dict[str, object] = {name: text for name, (text, _) in found.items()}
    history: tuple[RowTurn, ...] = tuple(
        turn.model_copy(update={"content": text}) for turn, (text, _) in zip(item.history, turns, strict=True)
    )
    return item.model_copy(update=texts | {"history": history}), count
