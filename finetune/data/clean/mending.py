"""A row put right: characters, marks of HTML, code fences, placeholders, and masks over personal data."""

from collections.abc import Collection
from dataclasses import dataclass, field

from finetune.data.clean.markup import is_about_tags, may_hold_html, mend_fences, mend_html
from finetune.data.clean.personal_data import (
    KINDS,
    Masked,
    asked_for,
    mask_personal_data,
    may_hold_personal_data,
)
from finetune.rows.characters import is_plain, mend_text
from finetune.rows.fast_row import JsonPair, JsonRow, JsonTurn, check_row
from finetune.rows.placeholders import without_placeholder


@dataclass
class Mending:
    """What was put right in a row."""

    names: set[str] = field(default_factory=set)
    """Keys of `reasons.MENDED`."""
    masked: list[tuple[str, Masked]] = field(default_factory=list)
    """(name of the field, what stood there): `instruction`, `context`, `response`, `rejected`, `history.0`
    ..."""


def mend_row(row: JsonRow, masks: Collection[str] = KINDS) -> Mending:
    """Put right what can be put right, in place; `masks` are kinds of `personal_data.MASKS`.

    Raises UnusableLine when nothing is left of a text.
    """
    made = Mending()
    about_tags = _may_hold_marks(row) and is_about_tags("\n".join(row.texts()))
    for name, text in _fields(row):
        mended = text
        while True:
            before = mended
            mended = _mended(mended, name, made.names, about_tags)
            if mended == before:
                break
        if mended != text:
            _set(row, name, mended)
    if row.context and not without_placeholder(row.context):
        row.context = ""
        made.names.add("placeholder_context")
    if masks:
        _mask(row, masks, made)
    if "answer_start" in row.meta and _put_answer_start_right(row):
        made.names.add("answer_start")
    if made.names:
        check_row(row)
    return made


def _mended(text: str, name: str, names: set[str], about_tags: bool) -> str:
    # The blanks around a context stay where they are: `answer_start` counts them.
    if not is_plain(text) or (name != "context" and text != text.strip()):
        text, found = mend_text(text)
        names |= found
    if not about_tags and may_hold_html(text) and (mended := mend_html(text)) != text:
        names.add("html_marks")
        text = mended
    if "```" in text and (mended := mend_fences(text)) != text:
        names.add("fence_lines")
        text = mended
    return text


def _may_hold_marks(row: JsonRow) -> bool:
    return any(may_hold_html(text) for text in row.texts())


_THOUGHT = "reasoning_content"


def _fields(row: JsonRow) -> list[tuple[str, str]]:
    """(name, text) of every text but the arguments of tool calls, which have to fit their tools."""
    fields = [*_turn_fields("history", row.history), *_turn_fields("steps", row.steps)]
    fields += [(_THOUGHT, row.reasoning_content)] if row.reasoning_content else []
    fields += [
        ("instruction", row.instruction),
        ("context", row.context),
        ("response", row.response),
    ]
    return [*fields, ("rejected", row.rejected)] if isinstance(row, JsonPair) else fields


def _turn_fields(name: str, turns: list[JsonTurn]) -> list[tuple[str, str]]:
    said = [(f"{name}.{place}", turn.content) for place, turn in enumerate(turns)]
    thought = [(f"{name}.{place}.{_THOUGHT}", turn.reasoning_content) for place, turn in enumerate(turns)]
    return said + [field for field in thought if field[1]]


def _set(row: JsonRow, name: str, text: str) -> None:
    field, *rest = name.split(".")
    if not rest:
        setattr(row, field, text)
        return
    turns = row.history if field == "history" else row.steps
    setattr(turns[int(rest[0])], rest[1] if rest[1:] else "content", text)


def _mask(row: JsonRow, masks: Collection[str], made: Mending) -> None:
    if not any(map(may_hold_personal_data, row.texts())):
        return
    wanted = asked_for(row.instruction)
    given = row.context + "".join(turn.content for turn in (*row.history, *row.steps))
    for name, text in _fields(row):
        kinds = set(masks)
        if wanted and name in ("response", "rejected", _THOUGHT):
            # What was asked for is made up, unless the text that came with the question holds it.
            _, examples = mask_personal_data(text, kinds & wanted)
            kinds -= {mask.kind for mask in examples if mask.original not in given}
        masked, found = mask_personal_data(text, kinds)
        if found:
            _set(row, name, masked)
            made.names.update(f"personal_{mask.kind}" for mask in found)
            made.masked += [(name, mask) for mask in found]


def _put_answer_start_right(row: JsonRow) -> bool:
    """Point `meta.answer_start` at the answer in the context again, where it stands elsewhere now."""
    start, context, answer = row.meta["answer_start"], row.context, row.response
    if isinstance(start, int) and start >= 0 and context.startswith(answer, start):
        return False
    near = start if isinstance(start, int) and start >= 0 else 0
    places = [context.rfind(answer, 0, near + len(answer)), context.find(answer, near)]
    found = [place for place in places if place >= 0]
    if not found:
        return False
    row.meta["answer_start"] = min(found, key=lambda place: abs(place - near))
    return True
