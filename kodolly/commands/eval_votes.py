"""`kodolly eval votes`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.echo import echo_line
from kodolly.finite_range import FiniteRange

if TYPE_CHECKING:
    from common.leaderboard.judgements import Filter
    from finetune.data.stored_feedback import Sources

EPILOG = """\b
Examples:
  kodolly eval votes
  kodolly eval votes --pairs pairs.jsonl --rows good.jsonl --without gpt-4o
  kodolly train my-dpo.yaml data=pairs.jsonl
"""


@click.command("votes", epilog=EPILOG)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, help="Its key: KODOLLY_API_KEY.")
@click.option(
    "--blind", is_flag=True, help="Only votes and ratings that were given before the names were shown."
)
@click.option("--since", type=click.DateTime(), help="Nothing of before (UTC).")
@click.option("--until", type=click.DateTime(), help="Nothing from then on (UTC).")
@click.option("--locale", help="Only feedback given in this language, e.g. ko.")
@click.option("--category", help="Only feedback on this kind of question.")
@click.option("--control-length", is_flag=True, help="Take the taste for long answers out of the strengths.")
@click.option("--pairs", type=click.Path(path_type=Path), help="Write votes as pairs for DPO there (JSONL).")
@click.option("--rows", type=click.Path(path_type=Path), help="Write well rated answers as Dolly rows there.")
@click.option(
    "--min-score",
    type=FiniteRange(1, 5),
    default=4.0,
    show_default=True,
    help="Of those answers' ratings.",
)
@click.option("--without", multiple=True, metavar="MODEL", help="Train on no answer of this model.")
@click.option("--with", "allowed", multiple=True, metavar="MODEL", help="Train on this provider's answers.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures there (JSON).")
def command(
    gateway: str,
    blind: bool,
    since: datetime | None,
    until: datetime | None,
    locale: str | None,
    category: str | None,
    control_length: bool,
    pairs: Path | None,
    rows: Path | None,
    min_score: float,
    without: tuple[str, ...],
    allowed: tuple[str, ...],
    output: Path | None,
) -> None:
    """Show who won people's votes, and turn votes and ratings into data for the next training.

    A key sees its own votes and ratings: set KODOLLY_ADMIN_TOKEN, or use an admin key, to read everybody's.

    The figures are those of GET /v1/leaderboard: two checkpoints of one name are two contenders (NAME@ID),
    ties count half, "both bad" not at all. Intervals are 95% and know that one person's votes are alike. A
    decision holds however often you look. Answers of providers are not trained on, as their terms mostly
    forbid it; --with lets a model in. `kodolly data from-feedback` makes more of the same feedback.
    """
    from common.leaderboard.judgements import Filter
    from kodolly.clients.feedback_pages import fetch_feedback
    from kodolly.leaderboard_table import leaderboard_lines, read_judgements

    only = Filter(since, until, locale, category, blind)
    found = fetch_feedback(gateway, "votes", since), fetch_feedback(gateway, "ratings", since)
    results = read_judgements(*found).results(only, control_length=control_length)
    for line in leaderboard_lines(results):
        echo_line(line)
    if pairs is not None or rows is not None:
        sources = _sources(gateway, without, allowed)
        _write_training(found, only, pairs, rows, min_score=min_score, sources=sources)
    if output is not None:
        from finetune.eval.report import write_json

        write_json(output, results.as_json())


def _sources(gateway: str, without: tuple[str, ...], allowed: tuple[str, ...]) -> "Sources":
    from kodolly.feedback_sources import sources_of

    return sources_of(gateway, without, allowed)


def _write_training(
    found: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    only: "Filter",
    pairs: Path | None,
    rows: Path | None,
    **options: Any,
) -> None:
    from finetune.data.from_feedback import training_data, write_training
    from finetune.data.stored_feedback import parse_feedback
    from kodolly.leaderboard_table import admitted

    made = training_data(parse_feedback(*(admitted(only, part) for part in found)), **options)
    for path, items, what in ((pairs, made.pairs, "pairs"), (rows, made.rows, "rows")):
        if path is not None:
            write_training(items, path)
            echo_line(f"{len(items)} {what}: {path}")
    for reason, count in made.left_out.most_common():
        if count:
            echo_line(f"Left out: {count} ({reason})", err=True)
