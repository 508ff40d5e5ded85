"""A comparison as a Markdown or JSON file. Names that are still hidden stay hidden in the file."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from common.feedback import Choice
from webui.conversation import Mark, Side, Turn
from webui.render import duration, ending
from webui.texts import Lang, text


@dataclass(frozen=True)
class ComparisonExport:
    """Everything that a file of one comparison holds."""

    left: Side
    right: Side
    marks: Mapping[str, Mark]
    """Ratings by turn id."""
    votes: Mapping[str, Choice]
    """Votes by `pair_key`."""
    names_hidden: bool


def pair_key(left: Turn | None, right: Turn | None) -> str:
    """Names one pair of answers: a UUID, also the id of its vote, the same however often it is asked for."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{left.id if left else ''}:{right.id if right else ''}"))


def as_json(comparison: ComparisonExport) -> str:
    """Every turn of both sides with settings, figures, reasoning, scores and votes."""
    left, right = comparison.left, comparison.right
    turns = [
        {
            "question": (a or b).question,
            "vote": comparison.votes.get(pair_key(a, b)),
            "left": _turn_json(left, index, comparison) if a else None,
            "right": _turn_json(right, index, comparison) if b else None,
        }
        for index, (a, b) in enumerate(zip_longest(left.turns, right.turns))
    ]
    hidden = comparison.names_hidden
    document = {"format": "kodolly-comparison", "version": 1, "names_hidden": hidden, "turns": turns}
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _turn_json(side: Side, index: int, comparison: ComparisonExport) -> dict[str, Any]:
    turn = side.turns[index]
    mark = comparison.marks.get(turn.id)
    data = side.judged(index).model_dump(mode="json")
    data |= {"reasoning": turn.reasoning or None}
    data |= {"state": turn.state, "score": mark and mark.score, "tags": list(mark.tags) if mark else []}
    if comparison.names_hidden:
        data |= {"model": None, "request_id": None, "checkpoint": None}
    return data


def as_markdown(comparison: ComparisonExport, lang: Lang) -> str:
    """The same for people: one section a question, both answers below it."""
    lines = [f"# {text(lang, 'export_title')}", ""]
    for number, (a, b) in enumerate(zip_longest(comparison.left.turns, comparison.right.turns), 1):
        question = a or b
        if question is None:
            continue
        lines += [f"## {number}. {text(lang, 'export_question')}", "", *_quoted(question.question), ""]
        for name, turn in (("left", a), ("right", b)):
            if turn is not None:
                lines += _turn_markdown(text(lang, f"export_{name}"), turn, lang, comparison)
        vote = comparison.votes.get(pair_key(a, b))
        if vote:
            lines += [f"**{text(lang, 'export_vote')}**: {text(lang, f'choice_{vote}')}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _turn_markdown(side_name: str, turn: Turn, lang: Lang, comparison: ComparisonExport) -> list[str]:
    model = text(lang, "export_hidden") if comparison.names_hidden else turn.setup.model
    sampling = turn.setup.sampling
    facts = [
        f"temperature {sampling.temperature:g}",
        f"top-p {sampling.top_p:g}",
        f"max {sampling.max_tokens}",
    ]
    if turn.metrics.ttft_ms is not None:
        first = "ttft_reasoning" if turn.metrics.reasoned_first else "ttft"
        facts.append(text(lang, first, value=duration(turn.metrics.ttft_ms)))
    if turn.metrics.tokens_per_s is not None:
        facts.append(text(lang, "rate", value=f"{turn.metrics.tokens_per_s:.1f}"))
    if turn.metrics.tokens is not None:
        facts.append(text(lang, "tokens", value=turn.metrics.tokens))
    facts.append(ending(turn, lang)[0])
    lines = [f"### {side_name}: {model}", "", f"<sub>{' · '.join(facts)}</sub>", ""]
    if turn.setup.system.strip():
        lines += [f"{text(lang, 'export_system')}:", "", *_quoted(turn.setup.system), ""]
    lines += [turn.answer.strip() or f"*{ending(turn, lang)[0]}*", ""]
    mark = comparison.marks.get(turn.id)
    if mark is not None:
        tags = ", ".join(text(lang, f"tag_{tag}") for tag in mark.tags)
        score = "-" if mark.score is None else f"{mark.score}/5"
        lines += [f"{text(lang, 'export_rating')}: {score}{f' ({tags})' if tags else ''}", ""]
    return lines


def _quoted(words: str) -> list[str]:
    return [f"> {line}".rstrip() for line in words.splitlines()]
