"""`kodolly ask`."""

import sys

import click

from kodolly.clients.gateway_access import DEFAULT_URL
from kodolly.finite_range import FiniteRange

EPILOG = """\b
Examples:
  kodolly ask "돌리는 누구인가요?"
  kodolly ask -m demo-base -m demo-dolly "과적합이 무엇인가요?"
  echo "한 줄로 요약해 주세요: ..." | kodolly ask -m demo-dolly -
"""


@click.command("ask", epilog=EPILOG)
@click.argument("question")
@click.option(
    "-m", "--model", "models", multiple=True, help="Model to ask; may be repeated.  [default: the tuned one]"
)
@click.option("-s", "--system", help="System prompt.")
@click.option("-t", "--temperature", type=FiniteRange(0, 2), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, metavar="URL", help="The gateway to ask.")
def command(
    question: str,
    models: tuple[str, ...],
    system: str | None,
    temperature: float,
    max_tokens: int,
    gateway: str,
) -> None:
    """Ask QUESTION ("-" reads it from stdin) and print each model's answer as it comes."""
    from common.escape import escape_controls, escape_pieces
    from kodolly.clients.ask import default_model, refuse_other_kinds, stream_answer
    from kodolly.clients.gateway_access import fetch_status

    text = sys.stdin.read().strip() if question == "-" else question
    if models:
        refuse_other_kinds(gateway, models)
    chosen = models or (default_model(fetch_status(gateway)),)
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": text})
    for model in chosen:
        if len(chosen) > 1:
            click.secho(f"── {escape_controls(model)}", bold=True, err=True)
        body = {"model": model, "messages": messages, "temperature": temperature}
        pieces = stream_answer(gateway, body | {"max_completion_tokens": max_tokens})
        for shown in escape_pieces(pieces):
            click.echo(shown, nl=False)
        click.echo()
