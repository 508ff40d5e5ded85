"""`kodolly eval`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly eval kobest models/my-dolly --data kobest_v1.0 --output dolly.json
  kodolly eval task haerae models/my-dolly --hub
  kodolly eval rows models/my-dolly held-out.jsonl
  kodolly eval compare base.json dolly.json comparison
  kodolly eval page models/my-dolly base.json dolly.json
  kodolly eval judge my-base my-dolly judged --url http://127.0.0.1:8000 --judge gpt-4o
  kodolly eval ethics models/my-dolly ethics.json --moderation models/my-moderation
  kodolly eval retrieval kobest_v1.0/BoolQ/dev.tsv
  kodolly eval votes --pairs pairs.jsonl
"""
TABLE: dict[str, str] = {
    "kobest": "Measure accuracy and macro-F1 on KoBEST, with lm-eval.",
    "task": "Measure any task of lm-eval: KMMLU, HAERAE, CLIcK, HRM8K ...",
    "korquad": "Measure exact match and character F1 on KorQuAD 1.0.",
    "rows": "Measure exact match and perplexity on held-out Dolly rows.",
    "instructions": "Measure how often a model keeps what is asked of an answer's form.",
    "ethics": "Measure how often a model answers unethically.",
    "retrieval": "Measure how often the search of documents finds the right passage.",
    "compare": "Put reports side by side: before and after, with plots.",
    "page": "One HTML page on a model: card, data, scores with intervals.",
    "judge": "Let a judge model mark answers, and compare models in pairs.",
    "votes": "Win rates from people's votes, and rows and pairs to train on.",
}


@click.group("eval", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """Measure a checkpoint or a served model."""
