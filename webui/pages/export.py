"""A conversation as a Markdown, JSON or CSV file. What is still hidden stays hidden in the file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from webui.comparison_votes import comparison_key
from webui.conversation import ComparisonChoice, Mark, Side, Turn
from webui.csv_text import csv_text
from webui.render import duration, ending
from webui.side_names import choice_text, side_text
from webui.store.conversations import Conversation
from webui.texts import Lang, text


@dataclass(frozen=True)
class ConversationExport:
    """Everything that a file of one conversation holds."""

    sides: Mapping[str, Side]
    """By pane."""
    marks: Mapping[str, Mark]
    """Ratings by turn id."""
    votes: Mapping[str, ComparisonChoice]
    """Votes by `comparison_key`."""
    names_hidden: bool

    @property
    def turns(self) -> Iterator[dict[str, Turn | None]]:
        """The answers to each question, by pane; a pane may lack one."""
        for answers in zip_longest(*[side.turns for side in self.sides.values()]):
            yield dict(zip(self.sides, answers, strict=True))

    def vote(self, answers: Mapping[str, Turn | None]) -> ComparisonChoice | None:
        """Which of the answers was voted for."""
        return self.votes.get(comparison_key(answers.values()))


def exported(found: Conversation) -> ConversationExport:
    """What a file of `found` holds."""
    return ConversationExport(found.sides, found.marks, found.votes, names_hidden=found.hidden)


def asked_in(answers: Mapping[str, Turn | None]) -> Turn:
    """A turn with the question of all."""
    return next(turn for turn in answers.values() if turn is not None)


TELLING = ("model", "request_id", "checkpoint", "arm", "ttft_ms", "tokens", "tokens_per_s")
"""What tells models apart: left out while their names are hidden, as the page shows no figures either."""


def as_json(export: ConversationExport) -> str:
    """Every turn of all sides with settings, figures, reasoning, scores and votes."""
    turns: list[dict[str, Any]] = []
    for index, answers in enumerate(export.turns):
        asked = asked_in(answers)
        told: dict[str, Any] = {"question": asked.question, "context": asked.context or None}
        if asked.files:
            told["files"] = [file.model_dump(include={"kind", "name", "text"}) for file in asked.files]
        if "chat" not in answers:
            told["vote"] = export.vote(answers)
        told |= {
            pane: _turn_json(export.sides[pane], index, export) if turn else None
            for pane, turn in answers.items()
        }
        turns.append(told)
    kind = "chat" if "chat" in export.sides else "comparison"
    document = {"format": f"kodolly-{kind}", "version": 1, "names_hidden": export.names_hidden}
    return json.dumps(document | {"turns": turns}, ensure_ascii=False, indent=2) + "\n"


def _turn_json(side: Side, index: int, export: ConversationExport) -> dict[str, Any]:
    turn = side.turns[index]
    mark = export.marks.get(turn.id)
    data = side.judged(index).model_dump(mode="json")
    data |= {"reasoning": turn.reasoning or None}
    data |= {"state": turn.state} | (mark or Mark()).model_dump(mode="json", exclude={"sent"})
    if export.names_hidden:
        data |= dict.fromkeys(TELLING)
    return data


COLUMNS = (
    "number",
    "question",
    "context",
    "side",
    "model",
    "checkpoint",
    "answer",
    "state",
    "score",
    "tags",
    "thumb",
    "comment",
    "correction",
    "vote",
)


def as_csv(export: ConversationExport) -> str:
    """A line for each answer, for spreadsheets."""
    rows: list[list[Any]] = [list(COLUMNS)]
    for number, answers in enumerate(export.turns, 1):
        vote = export.vote(answers)
        for pane, turn in answers.items():
            if turn is None:
                continue
            names = [None, None] if export.names_hidden else [turn.setup.model, turn.checkpoint]
            mark = export.marks.get(turn.id) or Mark()
            judged = [mark.score, ", ".join(mark.tags), mark.thumb, mark.comment, mark.correction, vote]
            rows.append([number, turn.question, turn.context, pane, *names, turn.answer, turn.state, *judged])
    return csv_text(rows)


def as_markdown(export: ConversationExport, lang: Lang) -> str:
    """The same for people: one section a question, all answers below it."""
    title = "conversation" if "chat" in export.sides else "export_title"
    lines = [f"# {text(lang, title)}", ""]
    for number, answers in enumerate(export.turns, 1):
        asked = asked_in(answers)
        lines += [f"## {number}. {text(lang, 'export_question')}", "", *_quoted(asked.question), ""]
        if asked.context:
            lines += [f"{text(lang, 'export_context')}:", "", *_quoted(asked.context), ""]
        if asked.files:
            names = ", ".join(file.name for file in asked.files)
            lines += [f"{text(lang, 'export_files')}: {names}", ""]
        for pane, turn in answers.items():
            if turn is not None:
                lines += _turn_markdown(side_text(lang, "name", pane, len(answers)), turn, lang, export)
        vote = export.vote(answers)
        if vote:
            lines += [f"**{text(lang, 'export_vote')}**: {choice_text(lang, vote, len(answers))}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _turn_markdown(side_name: str, turn: Turn, lang: Lang, export: ConversationExport) -> list[str]:
    model = text(lang, "export_hidden") if export.names_hidden else turn.setup.model
    lines = [f"### {side_name}: {model}", "", f"<sub>{' · '.join(_facts(turn, lang, export))}</sub>", ""]
    if turn.setup.system.strip():
        lines += [f"{text(lang, 'export_system')}:", "", *_quoted(turn.setup.system), ""]
    lines += [turn.answer.strip() or f"*{ending(turn, lang)[0]}*", ""]
    mark = export.marks.get(turn.id)
    if mark is not None:
        tags = ", ".join(text(lang, f"tag_{tag}") for tag in mark.tags)
        score = "-" if mark.score is None else f"{mark.score}/5"
        lines += [f"{text(lang, 'export_rating')}: {score}{f' ({tags})' if tags else ''}", ""]
    return lines


def _facts(turn: Turn, lang: Lang, export: ConversationExport) -> list[str]:
    sampling = turn.setup.sampling
    facts = [
        f"temperature {sampling.temperature:g}",
        f"top-p {sampling.top_p:g}",
        f"max {sampling.max_tokens}",
    ]
    if export.names_hidden:
        return [*facts, ending(turn, lang)[0]]
    if turn.metrics.ttft_ms is not None:
        first = "ttft_reasoning" if turn.metrics.reasoned_first else "ttft"
        facts.append(text(lang, first, value=duration(turn.metrics.ttft_ms)))
    if turn.metrics.tokens_per_s is not None:
        facts.append(text(lang, "rate", value=f"{turn.metrics.tokens_per_s:.1f}"))
    if turn.metrics.tokens is not None:
        facts.append(text(lang, "tokens", value=turn.metrics.tokens))
    return [*facts, ending(turn, lang)[0]]


def _quoted(words: str) -> list[str]:
    return [f"> {line}".rstrip() for line in words.splitlines()]
