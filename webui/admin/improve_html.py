"""The screen of turns of `kodolly improve`: how far each has come, what the gates found, what was decided."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from typing import get_args

from common.improvement import FoundGate, Step, StoredTurn
from webui.admin.frame import words
from webui.texts import Lang

STEPS: tuple[Step, ...] = get_args(Step)
GATE_STYLES = {True: "passed", False: "failed", None: "unmeasured"}


def improve_html(lang: Lang, turns: Sequence[StoredTurn], now: datetime) -> str:
    """All of them, the newest first."""
    shown = "".join(_turn(lang, turn, now) for turn in turns) or f"<p>{words(lang, 'improve_none')}</p>"
    return (
        f"<section><h2>{words(lang, 'admin_screen_improve')}</h2>"
        f"<p class='quiet'>{words(lang, 'improve_hint')}</p>{shown}</section>"
    )


def _turn(lang: Lang, turn: StoredTurn, now: datetime) -> str:
    good = {"promoted": "in_force", "ready": "in_force", None: ""}.get(turn.decision, "revoked")
    state = f"improve_{turn.decision}" if turn.decision else "improve_runs"
    head = (
        f"<summary><strong>{escape(turn.model)}</strong> {escape(turn.turn)} "
        f'<span class="chip {good}">{words(lang, state)}</span>'
        f'<span class="quiet">{_times(lang, turn, now)}</span></summary>{_steps(lang, turn)}'
    )
    counts = " · ".join(f"{escape(name.replace('_', ' '))} {count:,}" for name, count in turn.counts.items())
    facts = [
        (words(lang, "improve_from"), f"<code>{escape(turn.checkpoint)}</code>"),
        (words(lang, "improve_method"), escape(f"{turn.method}: {turn.why}")),
        (words(lang, "improve_data"), counts or "–"),
    ]
    if turn.words:
        facts.append((words(lang, "improve_decision"), escape(turn.words)))
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    opened = "" if turn.decision else " open"
    return f'<details class="card"{opened}>{head}<dl>{listed}</dl>{_gates(lang, turn.gates)}</details>'


def _times(lang: Lang, turn: StoredTurn, now: datetime) -> str:
    begun = f"{turn.begun:%Y-%m-%d %H:%M} UTC"
    if turn.decision:
        return words(lang, "improve_ended", begun=begun, took=_length(lang, turn.told - turn.begun))
    return words(lang, "improve_told", begun=begun, ago=_length(lang, now - turn.told))


def _length(lang: Lang, length: timedelta) -> str:
    minutes = max(0, int(length.total_seconds()) // 60)
    if minutes < 60:
        return words(lang, "minutes", number=minutes)
    hours = minutes // 60
    return words(lang, "hours", number=hours) if hours < 48 else words(lang, "days", number=hours // 24)


def _steps(lang: Lang, turn: StoredTurn) -> str:
    """The way with what is done, and what it is about now."""
    if turn.decision:
        return ""
    at = STEPS.index(turn.step) if turn.step else 0
    return f'<ol class="steps">{"".join(_step(lang, step, at) for step in STEPS)}</ol>'


def _step(lang: Lang, step: Step, at: int) -> str:
    number = STEPS.index(step)
    state = "done" if number < at else "ahead"
    marked = 'class="now" aria-current="step"' if number == at else f'class="{state}"'
    return f"<li {marked}>{words(lang, f'step_{step}')}</li>"


def _gates(lang: Lang, gates: Sequence[FoundGate]) -> str:
    if not gates:
        return ""
    rows = "".join(
        f"<li><strong>{escape(gate.name.replace('_', ' '))}</strong> "
        f'<span class="{GATE_STYLES[gate.passed]}">{words(lang, f"gate_{GATE_STYLES[gate.passed]}")}</span> '
        f"{escape(gate.words)}</li>"
        for gate in gates
    )
    return f'<ul class="gates">{rows}</ul>'
