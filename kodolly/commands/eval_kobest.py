"""`kodolly eval kobest`."""

from pathlib import Path

import click

from common.errors import UserError
from kodolly.clients.gateway_access import gateway_key
from kodolly.eval_target import checkpoint_directory, offline, require_libraries, show, target_options

TASKS = ("boolq", "copa", "hellaswag", "sentineg", "wic")
EPILOG = """\b
Examples:
  kodolly eval kobest models/my-dolly --data kobest_v1.0
  kodolly eval kobest models/my-dolly --data kobest_v1.0 --shots 5 --task copa --output dolly.json
  kodolly eval kobest my-dolly --url http://127.0.0.1:8000 --tokenizer models/my-dolly --data kobest_v1.0
  kodolly eval kobest models/my-dolly --hub
"""


@click.command("kobest", epilog=EPILOG)
@target_options
@click.option("--data", type=click.Path(path_type=Path), help="Folder of KoBEST's tables: BoolQ/test.tsv ...")
@click.option("--hub", is_flag=True, help="Take the tables from the Hugging Face hub instead.")
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="Checkpoint directory of the served MODEL."
)
@click.option(
    "--shots", type=click.IntRange(0, 100), default=0, show_default=True, help="Solved examples first."
)
@click.option(
    "--task", "tasks", multiple=True, type=click.Choice(TASKS), help="Only this one.  [default: all]"
)
@click.option("--split", type=click.Choice(["test", "dev"]), help="[default: test, where it is there]")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many items of each task.")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
def command(
    model: str,
    url: str | None,
    output: Path | None,
    data: Path | None,
    hub: bool,
    tokenizer: Path | None,
    shots: int,
    tasks: tuple[str, ...],
    split: str | None,
    limit: int | None,
    batch_size: int,
) -> None:
    """Measure MODEL, a checkpoint directory or with --url a served model, on KoBEST.

    Both ways use lm-eval's prompts and give the same scores. Nothing is fetched unless --hub is given.
    """
    if (data is None) == (not hub):
        raise UserError("Say where KoBEST's tables are: --data FOLDER, or --hub to fetch them.")
    if url is not None and tokenizer is None:
        raise UserError(
            "A served model's log likelihoods take its tokenizer.",
            hint="Name its checkpoint directory with --tokenizer.",
        )
    directory = tokenizer if url is not None and tokenizer is not None else checkpoint_directory(model)
    require_libraries("numpy", "torch", "transformers")
    if not hub:
        offline()
    from common.openmp import let_waiting_threads_sleep
    from finetune.eval.kobest import KobestRun, evaluate_kobest
    from finetune.eval.lm_eval_model import ServedEndpoint, require_lm_eval

    require_lm_eval()
    let_waiting_threads_sleep()
    chosen = tuple(task for task in TASKS if not tasks or task in tasks)
    asked = KobestRun(chosen, shots, data, split, limit)  # type: ignore[arg-type]
    target = ServedEndpoint(url, model, gateway_key(), directory) if url is not None else directory
    show(evaluate_kobest(target, asked, batch_size), output)
