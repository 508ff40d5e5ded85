"""`kodolly documents ask`."""

from typing import Any

import click

from kodolly.clients.gateway_access import DEFAULT_URL

EPILOG = """\b
Examples:
  kodolly documents ask -m my-dolly@handbook '연차휴가는 며칠인가요?'
"""


@click.command("ask", epilog=EPILOG)
@click.argument("question")
@click.option("-m", "--model", required=True, help="A model with documents, such as my-dolly@handbook.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True)
@click.option("--gateway", default=DEFAULT_URL, show_default=True, metavar="URL", help="The gateway to ask.")
def command(question: str, model: str, max_tokens: int, gateway: str) -> None:
    """Ask QUESTION and print the answer, then what each of its sentences rests on."""
    from kodolly.clients.ask import whole_answer
    from kodolly.echo import echo_line, echo_text

    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0.0}
    message = whole_answer(gateway, body | {"max_completion_tokens": max_tokens})
    echo_text(f"{message.get('content') or ''}\n")
    for one in message.get("annotations") or ():
        echo_line(_cited(one))


def _cited(annotation: dict[str, Any]) -> str:
    passage = annotation.get("passage") or {}
    page = f", page {passage['page']}" if passage.get("page") is not None else ""
    doubt = "" if passage.get("supported") else " (not what the sentence says)"
    filename = (annotation.get("file_citation") or {}).get("filename", "")
    return f"[{passage.get('number')}] {filename}{page}: {passage.get('quote', '')}{doubt}"
