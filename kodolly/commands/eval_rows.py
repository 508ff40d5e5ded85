"""`kodolly eval rows`."""

from pathlib import Path

import click

from kodolly.eval_target import offline, opened_target, require_libraries, show, target_options

EPILOG = """\b
Examples:
  kodolly eval rows models/my-dolly held-out.jsonl --output dolly.json
  kodolly eval rows models/my-base held-out.jsonl --template dolly --output base.json
  kodolly eval rows my-dolly held-out.jsonl --url http://127.0.0.1:8000 --tokenizer models/my-dolly
"""


@click.command("rows", epilog=EPILOG)
@target_options
@click.argument("rows", type=click.Path(path_type=Path))
@click.option("--split", help="Only rows whose meta.split is this.")
@click.option("--template", help="Chat template of a checkpoint that has none, e.g. dolly.")
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="Checkpoint directory of the served MODEL."
)
@click.option("--max-tokens", type=click.IntRange(1), default=256, show_default=True, help="Of an answer.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many rows.")
def command(
    model: str,
    url: str | None,
    output: Path | None,
    rows: Path,
    split: str | None,
    template: str | None,
    tokenizer: Path | None,
    max_tokens: int,
    limit: int | None,
) -> None:
    """Ask MODEL, a checkpoint directory or with --url a served model, the held-out ROWS (JSONL).

    Shown are how often its greedy answer is the row's, the characters they share, how often it stops by
    itself, and the perplexity of the rows' own answers. Perplexities of two tokenizers can't be compared;
    bits per character can.
    """
    from finetune.data.load import load_rows

    offline()
    held_out = load_rows(rows, split)[:limit]
    with opened_target(model, url, template) as target:
        from finetune.eval.held_out_rows import evaluate_rows

        known = getattr(target, "tokenizer", None)
        if known is None and tokenizer is not None:
            require_libraries("numpy", "torch", "transformers")
            from finetune.eval.checkpoint_model import load_eval_tokenizer, require_chat_template

            known = load_eval_tokenizer(tokenizer, template)
            require_chat_template(known, tokenizer)
        show(evaluate_rows(target, held_out, rows.stem, known, max_tokens), output)
