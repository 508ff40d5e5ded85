"""Turns without a canary whose checkpoint somebody has put into service since."""

from collections.abc import Callable
from pathlib import Path

from kodolly.clients.feedback_pages import mark_used
from kodolly.improve.journal import journals
from kodolly.improve.plan import serving
from kodolly.improve.report import write_report


def note_rolled_out(runs: Path, name: str, gateway: str, say: Callable[[str], None]) -> None:
    """Take a turn of `--no-deploy` for promoted once its checkpoint serves the name, and mark its feedback as
    used. Before that nobody knows whether anything comes of the turn. Raises UserError; can be repeated."""
    ready = [one for one in journals(runs, name) if one.content.decision == "ready"]
    model = serving(gateway, name) if ready else None
    for journal in ready:
        plan = journal.content.plan
        if model is None or model.checkpoint != journal.content.steps["merge"]:
            continue
        mark_used(gateway, journal.directory.name, plan.used, set(plan.votes))
        words = f"{journal.content.words}, and it serves {name}"
        write_report(journal, "promoted", words)
        journal.end("promoted", 0, words)
        say(f"{journal.directory.name} serves {name} now; its feedback is marked as used")
