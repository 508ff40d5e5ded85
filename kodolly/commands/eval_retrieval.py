"""`kodolly eval retrieval`."""

from pathlib import Path

import click

from kodolly.eval_target import require_libraries, show

EPILOG = """\b
Examples:
  kodolly eval retrieval kobest_v1.0/BoolQ/dev.tsv
  kodolly eval retrieval KorQuAD_v1.0_dev.json --limit 1000 --output korquad.json
  kodolly eval retrieval questions.jsonl
  kodolly eval retrieval questions.jsonl --model runs/my-vectors
"""


@click.command("retrieval", epilog=EPILOG)
@click.argument("questions", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(1), help="Only the first so many questions; all passages stay.")
@click.option(
    "--model",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Search by the vectors of this checkpoint instead.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write the report there (JSON).")
def command(questions: Path, limit: int | None, model: Path | None, output: Path | None) -> None:
    """Measure how often the search of `kodolly documents` finds the passage that answers a question.

    QUESTIONS is KoBEST's BoolQ table (.tsv), KorQuAD 1.0 (.json) or a file of your own with a line
    {"question": ..., "passage": ...} for each question (.jsonl). All its passages are searched for each
    question. Shown are recall at 1, 5 and 10, MRR and nDCG, all of the first ten.

    With --model the passages nearest to a question's vector are taken, with the prompts that stand in the
    checkpoint: a model of `kodolly train` (method embed), or any that sentence-transformers loads.
    """
    if model is not None:
        _by_vectors(questions, limit, model, output)
        return
    from kodolly.document_store import require_documents

    require_documents()
    require_libraries("numpy")
    from finetune.eval.retrieval import evaluate_retrieval, load_questions

    show(evaluate_retrieval(load_questions(questions, limit), questions.stem), output)


def _by_vectors(questions: Path, limit: int | None, model: Path, output: Path | None) -> None:
    require_libraries("numpy", "torch", "sentence_transformers")
    from finetune.embedding.vectors import evaluate_vectors, model_name
    from finetune.eval.retrieval import load_questions
    from finetune.models.embedder import load_embedder
    from finetune.models.quiet import hide_library_bars, hide_library_notes

    asked = load_questions(questions, limit)
    hide_library_notes()
    hide_library_bars()
    show(evaluate_vectors(load_embedder(model), asked, questions.stem, model_name(model)), output)
