"""The published formats, how a file's format is recognised, and signs that its roles are swapped."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from finetune.data.convert import alpaca, columns, conversations, dolly, korquad, marked_text, oasst, pairs
from finetune.data.convert.fields import ConvertOptions, Record, RowOrUnusable, UnusableRecord
from finetune.rows.provenance import Provenance


@dataclass(frozen=True)
class Format:
    """One shape of published instruction data."""

    name: str
    title: str
    matches: Callable[[Record], bool]
    rows: Callable[[Record, ConvertOptions], Iterator[RowOrUnusable]]
    """The rows (or pairs) of a record, or why a part of it makes none. Raises UnusableRecord
    where none of it does."""
    pairs: bool = False
    """Whether preference pairs can be made of it."""


FORMATS = (
    Format("pairs", "preference pairs (chosen, rejected)", pairs.is_pair, pairs.rows, pairs=True),
    Format("dolly", "Dolly rows (databricks-dolly-15k)", dolly.is_dolly, dolly.rows),
    Format("sharegpt", "ShareGPT, KoVicuna (from, value)", conversations.is_sharegpt, conversations.rows),
    Format("messages", "chat messages (role, content)", conversations.is_messages, conversations.rows),
    Format("koalpaca-1.1", "KoAlpaca v1.1 (instruction, output, url)", alpaca.is_koalpaca_1_1, alpaca.rows),
    Format("alpaca", "Alpaca, KoAlpaca v1.0 (instruction, input, output)", alpaca.is_alpaca, alpaca.rows),
    Format("dialogue", "texts or exchanges by turns", conversations.is_dialogue, conversations.rows),
    Format(
        "guanaco",
        "OpenAssistant-guanaco (### Human: ### Assistant:)",
        conversations.is_guanaco,
        conversations.guanaco_rows,
    ),
    Format("text", "conversations as a prompt template wrote them", marked_text.is_marked, marked_text.rows),
    Format("korquad-1", "KorQuAD 1.0, SQuAD (paragraphs, qas)", korquad.is_article_1, korquad.rows_1),
    Format("korquad-2", "KorQuAD 2.0 and 2.1 (HTML pages)", korquad.is_article_2, korquad.rows_2),
    Format("oasst", "OASST message trees", oasst.is_tree, oasst.tree_rows, pairs=True),
    Format("oasst-messages", "OASST flat messages", oasst.is_flat_message, oasst.message_rows, pairs=True),
    Format(
        "table", "a table or lines with a question and an answer", columns.is_table, columns.rows, pairs=True
    ),
)
"""In this order: where two match equally well, the first is meant."""

BY_NAME: Mapping[str, Format] = {known.name: known for known in FORMATS}


_ODD = 0.1
"""Share of odd records up to which a file is still what the others are, and no mere table."""


def recognise(sample: Sequence[Record], options: ConvertOptions, path: Path) -> Format:
    """The format that explains most of the sample's records; a few odd ones don't change it.

    Raises UserError where none explains half of them.
    """
    if options.columns:
        return BY_NAME["table"]
    explained = {known.name: sum(map(known.matches, sample)) for known in FORMATS}
    table = explained.pop("table")
    best = max(explained, key=lambda name: explained[name])  # max takes the first of equals
    if explained[best] < len(sample) * (1 - _ODD) and table > explained[best]:
        best = "table"
    if not sample or max(table, *explained.values()) * 2 < len(sample):
        raise UserError(
            f"{path}: none of the known formats. Its records hold the fields {_field_names(sample)}.",
            hint=_what_helps(sample),
        )
    return BY_NAME[best]


def _what_helps(sample: Sequence[Record]) -> str:
    """To name columns helps only where there are some with text."""
    texts = {
        key for record in sample for key, value in record.items() if isinstance(value, (str, int, float))
    }
    if len(texts) >= 2:
        return "Name the columns: --column instruction=QUESTION --column response=ANSWER."
    return "A question and an answer must stand in fields of their own; docs/data.md shows what can be read."


def _field_names(sample: Sequence[Record]) -> str:
    return ", ".join(str(key) for key in list(sample[0])[:12]) if sample else "none"


def check_format(known: Format, sample: Sequence[Record], options: ConvertOptions, path: Path) -> None:
    """Raises UserError where the format cannot be what the file holds, or has no pairs as asked for."""
    if options.pairs and not known.pairs:
        raise UserError(
            f"{path}: {known.title} holds no preference pairs.",
            hint="--pairs takes data with a chosen and a rejected answer, and OASST.",
        )
    if known.name != "table" and sample and not any(map(known.matches, sample)):
        raise UserError(
            f"{path} is not {known.name} ({known.title}): "
            f"its records hold the fields {_field_names(sample)}.",
            hint="Leave --format out to have it recognised.",
        )


def table_columns(sample: Sequence[Record], options: ConvertOptions, path: Path) -> dict[str, str]:
    """Row field -> column for the `table` format: those named, and the usual names for the rest.

    Raises UserError for a field or column that does not exist, and where a column is missing.
    """
    first: dict[str, object] = {}
    for record in sample:  # a later record may have fields that the first one lacks
        first |= {key: value for key, value in record.items() if first.get(key) is None}
    for name, column in options.columns.items():
        if name not in columns.FIELDS and not name.startswith("meta."):
            known = ", ".join((*columns.FIELDS, "meta.NAME"))
            raise UserError(
                f"A row has no field {name!r}.", hint=f"--column FIELD=COLUMN, where FIELD is one of {known}."
            )
        if column not in first:
            raise UserError(f"{path} has no column {column!r}; it has {', '.join(map(str, first))}.")
    taken = set(options.columns.values())
    usual = {name: column for name, column in columns.usual_columns(sample).items() if column not in taken}
    if options.pairs:
        usual |= {name: name for name in ("chosen", "rejected") if name in first}
    found = {**usual, **options.columns}
    needed = ("instruction", "chosen", "rejected") if options.pairs else ("instruction", "response")
    missing = [name for name in needed if name not in found]
    if missing:
        raise UserError(
            f"{path}: which column is the {' and the '.join(missing)}? It has {', '.join(map(str, first))}.",
            hint=" ".join(f"--column {name}=COLUMN" for name in missing),
        )
    return found


_ASKS = re.compile(
    r"(?:[?？]|(?:주세요|주십시오|하세요|하십시오|하시오|보세요|보십시오|해\s?줘|해\s?봐|[려써내]\s?줘|할까|인가요|나요|까요"
    r"|까|니|[아어하해써려]라|계속)[.!~ ]*)\s*\Z"
)
"""How a Korean question or request ends."""
_ENOUGH = 20


_STATED = re.compile(r"니다[.!~ ]*\Z")
_LONGEST_QUESTION = 80


@dataclass(frozen=True)
class Swapped:
    """Signs that questions and answers are swapped."""

    reason: str = ""
    """Why they surely look so, or ''."""
    warning: str = ""
    """What may be one sign of it and may be right, too; or ''."""


def swapped_roles(known: Format, sample: Sequence[Record], options: ConvertOptions) -> Swapped:
    """Whether questions and answers of the sample look swapped.

    Surely: conversations that gpt begins and the human ends; answers that are nothing but a question, to
    statements that no longer look like one; a human who writes twice as much as a gpt that asks. Answers
    that ask back (counselling), or are shorter than the question (summaries), are only worth a warning.
    """
    if options.roles != "checked" or options.pairs or len(sample) < _ENOUGH:
        return Swapped()
    begun = much = ""
    if known.name in ("sharegpt", "messages", "dialogue"):
        begun, much = _swapped_turns(sample)
    if begun:
        return Swapped(begun)
    made = []
    for record in sample:
        try:
            made += [row for row in known.rows(record, options) if isinstance(row, dict)]
        except UnusableRecord:
            continue
    made = [row for row in made if not row["context"]]
    answers = [row["response"] for row in made if _ASKS.search(row["response"][-40:])]
    questions_ask = sum(bool(_ASKS.search(row["instruction"][-40:])) for row in made)
    if len(made) < _ENOUGH or len(answers) * 2 <= len(made) or questions_ask * 4 >= len(made):
        return Swapped(warning=much)
    reason = (
        f"{len(answers) / len(made):.0%} of the answers ask something, "
        f"and {questions_ask / len(made):.0%} of the questions do"
    )
    bare = sum(len(answer) < _LONGEST_QUESTION and not re.search(r"[.!?]\s", answer) for answer in answers)
    stated = sum(bool(_STATED.search(row["instruction"])) for row in made)
    sure = much or (bare * 10 > len(answers) * 9 and stated * 2 > len(made))
    return Swapped(reason) if sure else Swapped(warning=reason)


def _swapped_turns(sample: Sequence[Record]) -> tuple[str, str]:
    """(conversations that gpt begins and the human ends, a human who writes much more than gpt), in words."""
    written = {"user": 0, "assistant": 0, "system": 0}
    begun = {"swapped": 0, "right": 0}
    for record in sample:
        try:
            messages = conversations.messages_of(record)
        except UnusableRecord:
            continue
        first = conversations.first_speaker(messages)
        begun["swapped" if first == "assistant" and messages[-1].role == "user" else "right"] += 1
        for message in messages:
            written[message.role] += len(message.content)
    if begun["swapped"] > begun["right"]:
        return f"gpt speaks first in {begun['swapped']} of {sum(begun.values())} conversations", ""
    if written["user"] > 2 * written["assistant"]:
        times = written["user"] / max(1, written["assistant"])
        return "", f"the human writes {times:.1f} times as much as gpt"
    return "", ""


_ORIGINS = (
    (r"ko_alpaca_data", Provenance("KoAlpaca v1.0", "CC-BY-NC-4.0")),
    (r"koalpaca[-_]v?1\.0", Provenance("KoAlpaca v1.0", "CC-BY-NC-4.0")),
    (r"koalpaca[-_]v?1\.1", Provenance("KoAlpaca v1.1", "")),
    (
        r"ko_dataset(_2)?\.|ko_alpaca_style_dataset",
        Provenance("sharegpt_deepl_ko", "CC-BY-2.0-KR + OpenAI terms"),
    ),
    (r"korquad[-_]?v?1", Provenance("KorQuAD 1.0", "CC-BY-ND-2.0-KR")),
    (r"korquad[-_]?v?2", Provenance("KorQuAD 2", "CC-BY-ND-2.0-KR")),
    (r"databricks-dolly-15k", Provenance("databricks-dolly-15k", "CC-BY-SA-3.0")),
    (
        r"openassistant[-_]guanaco|openassistant_best_replies",
        Provenance("openassistant-guanaco", "Apache-2.0"),
    ),
    (r"oasst", Provenance("OASST", "Apache-2.0")),
    (r"chatbot_?data", Provenance("songys/Chatbot_data", "MIT")),
)


def origin(path: Path) -> Provenance:
    """Source and licence of a file that still has its published name; else the name itself, licence ''."""
    for pattern, known in _ORIGINS:
        if re.search(pattern, path.name, re.IGNORECASE):
            return known
    return Provenance(path.name.split(".")[0], "")
