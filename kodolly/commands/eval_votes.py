"""`kodolly eval votes`."""

from pathlib import Path
from typing import Any

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.echo import echo_line
from kodolly.operate.table import table

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
@click.option("--pairs", type=click.Path(path_type=Path), help="Write votes as pairs for DPO there (JSONL).")
@click.option("--rows", type=click.Path(path_type=Path), help="Write well rated answers as Dolly rows there.")
@click.option(
    "--min-score",
    type=click.FloatRange(1, 5),
    default=4.0,
    show_default=True,
    help="Of those answers' ratings.",
)
@click.option("--without", multiple=True, metavar="MODEL", help="Train on no answer of this model.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures there (JSON).")
def command(
    gateway: str,
    blind: bool,
    pairs: Path | None,
    rows: Path | None,
    min_score: float,
    without: tuple[str, ...],
    output: Path | None,
) -> None:
    """Show who won people's votes, and turn votes and ratings into data for the next training.

    A key sees its own votes and ratings: set KODOLLY_ADMIN_TOKEN, or use an admin key, to read everybody's.

    Win rates count ties half and carry 95% intervals. A provider may forbid training on its models' answers:
    leave those out with --without.
    """
    from kodolly.eval_target import require_libraries

    require_libraries("numpy")
    from finetune.eval.feedback import parse_feedback, summarise, training_data, write_training
    from finetune.eval.report import write_json
    from kodolly.clients.feedback_pages import fetch_feedback

    votes, ratings = parse_feedback(fetch_feedback(gateway, "votes"), fetch_feedback(gateway, "ratings"))
    if blind:
        votes = [vote for vote in votes if vote.blind]
        ratings = [rating for rating in ratings if rating.blind]
    summary = summarise(votes, ratings)
    _show(summary)
    if pairs is not None or rows is not None:
        made = training_data(votes, ratings, min_score=min_score, without=frozenset(without))
        for path, items, what in ((pairs, made.pairs, "pairs"), (rows, made.rows, "rows")):
            if path is not None:
                write_training(items, path)
                click.echo(f"{len(items)} {what}: {path}")
        for reason, count in made.left_out.most_common():
            if count:
                echo_line(f"Left out: {count} ({reason})", err=True)
    if output is not None:
        write_json(output, _content(summary))


def _show(summary: Any) -> None:
    if not summary.pairs and not summary.ratings:
        click.echo("There are no votes and no ratings yet.")
    if summary.pairs:
        lines = [["model", "against", "won", "lost", "tied", "both bad", "win rate", "95% interval"]]
        for one in summary.pairs:
            rate = one.win_rate
            lines.append(
                [one.first, one.second, str(one.wins), str(one.losses), str(one.ties), str(one.both_bad),
                 f"{rate.value:.1%}", f"{rate.low:.1%} to {rate.high:.1%}"]
            )  # fmt: skip
        for line in table(lines, right=(2, 3, 4, 5, 6)):
            click.echo(line)
    if left := summary.left_rate:
        click.echo(
            f"The left answer won {left.value:.1%} of {summary.decided} decided votes "
            f"({left.low:.1%} to {left.high:.1%}); 50% means that the place did not decide."
        )
    if summary.ratings:
        lines = [["model", "rating", "95% interval", "n", "tags"]]
        for rated in summary.ratings:
            tags = ", ".join(f"{tag} {count}" for tag, count in rated.tags.items())
            mean = rated.mean
            lines.append(
                [rated.model, f"{mean.value:.2f}", f"{mean.low:.2f} to {mean.high:.2f}", str(rated.n), tags]
            )
        for line in table(lines, right=(1, 3)):
            click.echo(line)


def _content(summary: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(summary)
