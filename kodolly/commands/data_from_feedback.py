"""`kodolly data from-feedback`."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.finite_range import FiniteRange

if TYPE_CHECKING:
    from pydantic import BaseModel

    from finetune.data.from_feedback import Training
    from finetune.rows.row import Pair

EPILOG = """\b
Examples:
  kodolly data from-feedback --output runs/feedback-1 --run my-dolly-2
  kodolly data from-feedback --output runs/feedback-1 --since 2026-11-01 --replay dolly-ko.jsonl
"""


@click.command("from-feedback", epilog=EPILOG)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, help="Its key: KODOLLY_API_KEY.")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Directory for the files.")
@click.option("--since", type=click.DateTime(), help="Nothing of before (UTC).")
@click.option(
    "--min-score",
    type=FiniteRange(1, 5),
    default=4.0,
    show_default=True,
    help="Mean rating from which on an answer becomes a row.",
)
@click.option("--without", multiple=True, metavar="MODEL", help="Train on no answer of this model.")
@click.option("--with", "allowed", multiple=True, metavar="MODEL", help="Train on this provider's answers.")
@click.option("--again", is_flag=True, help="Also what a training has used before.")
@click.option("--replay", type=click.Path(path_type=Path), help="Earlier rows to mix into rows.jsonl.")
@click.option(
    "--replay-share",
    type=FiniteRange(0, 100),
    default=1.0,
    show_default=True,
    help="Replayed rows for each new one.",
)
@click.option("--seed", type=int, default=42, show_default=True, help="Draws the replayed rows.")
@click.option("--run", help="Mark the feedback at the gateway as used in a training of this name.")
def command(
    gateway: str,
    output: Path,
    since: datetime | None,
    min_score: float,
    without: tuple[str, ...],
    allowed: tuple[str, ...],
    again: bool,
    replay: Path | None,
    replay_share: float,
    seed: int,
    run: str | None,
) -> None:
    """Make training data of votes, ratings, thumbs and corrections.

    Written are pairs.jsonl (methods dpo, orpo, simpo), labelled.jsonl (kto), rows.jsonl (lora and others)
    and held-out.jsonl: pairs on questions that are held out, to judge the result by and never to train on.
    Each row says in `meta` where it comes from. Answers of providers are left out, as their terms mostly
    forbid training on them, and so is what a training has used before. Personal data in texts is masked.
    """
    from finetune.data.from_feedback import held_out_pairs, replayed, training_data
    from finetune.data.stored_feedback import parse_feedback
    from kodolly.clients.feedback_pages import excluded_ids, fetch_feedback, mark_used
    from kodolly.echo import echo_line
    from kodolly.feedback_sources import sources_of

    votes, ratings = (fetch_feedback(gateway, kind, since) for kind in ("votes", "ratings"))
    feedback = parse_feedback(votes, ratings)
    sources = sources_of(gateway, without, allowed)
    held = feedback.held_out_questions()
    fresh = feedback if again else feedback.on(held).joined(feedback.on(held, instead=True).unused())
    made = training_data(fresh, min_score=min_score, sources=sources)
    made.left_out["used in a training before"] = len(feedback) - len(fresh)
    if replay is not None:
        share = round(len(made.rows) * replay_share)
        made.rows += replayed(replay, share, seed, held, excluded_ids(gateway), since=made.last_words())
    _write(made, held_out_pairs(feedback, sources), output)
    if run is not None:
        marked = mark_used(gateway, run, made.used, {str(vote["id"]) for vote in votes})
        echo_line(f"{marked} votes and ratings are marked as used in {run}.")


def _write(made: "Training", held_out: "list[Pair]", output: Path) -> None:
    """The files, and on stderr what is not in them."""
    from finetune.data.from_feedback import write_training
    from kodolly.echo import echo_line

    files: dict[str, Sequence[BaseModel]] = {
        "pairs.jsonl": made.pairs,
        "labelled.jsonl": made.labelled,
        "rows.jsonl": made.rows,
        "held-out.jsonl": held_out,
    }
    for name, items in files.items():
        write_training(items, output / name)
        echo_line(f"{len(items)} lines: {output / name}")
    if made.masked:
        echo_line(f"{made.masked} places with personal data are masked", err=True)
    for what, reasons in (("Left out", made.left_out), ("Not labelled", made.not_labelled)):
        for reason, count in reasons.most_common():
            if count:
                echo_line(f"{what}: {count} ({reason})", err=True)
