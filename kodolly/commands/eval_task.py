"""`kodolly eval task`."""

from pathlib import Path

import click

from common.errors import UserError
from kodolly.clients.gateway_access import gateway_key
from kodolly.eval_target import checkpoint_directory, offline, require_libraries, show, target_options

EPILOG = """\b
Examples:
  kodolly eval task haerae models/my-dolly --hub
  kodolly eval task kmmlu_direct my-dolly --url http://127.0.0.1:8000 --data kmmlu --limit 20
  kodolly eval task hrm8k_gsm8k models/qwen3-8b --data hrm8k --thinking on --max-tokens 8192
  kodolly eval task our_questions models/my-dolly --tasks our-tasks --data questions
"""


@click.command("task", epilog=EPILOG)
@click.argument("name")
@target_options
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory with the task's data set, laid out as on the hub.",
)
@click.option("--hub", is_flag=True, help="Fetch the data set.  [default: the hub's cache on this machine]")
@click.option(
    "--tasks",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory with tasks of your own (lm-eval's YAML); Python beside them runs.",
)
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), help="Checkpoint directory of the served MODEL."
)
@click.option("--shots", type=click.IntRange(0, 100), help="Solved examples first.  [default: the task's]")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many items of each task.")
@click.option("--max-tokens", type=click.IntRange(1), help="Of an answer and its thought.")
@click.option("--thinking", type=click.Choice(["on", "off"]), help="[default: as the chat template does]")
@click.option("--batch-size", type=click.IntRange(1), default=16, show_default=True)
def command(
    name: str,
    model: str,
    url: str | None,
    output: Path | None,
    data: Path | None,
    hub: bool,
    tasks: Path | None,
    tokenizer: Path | None,
    shots: int | None,
    limit: int | None,
    max_tokens: int | None,
    thinking: str | None,
    batch_size: int,
) -> None:
    """Measure MODEL, a checkpoint directory or with --url a served model, on lm-eval's task or group NAME.

    Tasks that generate go through the chat template, a thought is not scored. Tasks that rank choices by log
    likelihood need --tokenizer with --url. Nothing is fetched unless --hub is given.
    """
    if hub and data is not None:
        raise UserError("The data set comes from --data or from the --hub, not from both.")
    require_libraries("numpy", "torch", "transformers")
    if not hub:
        offline()
    from common.openmp import let_waiting_threads_sleep
    from finetune.eval.lm_eval_model import ServedEndpoint, require_lm_eval
    from finetune.eval.task import TaskQuestions, evaluate_task

    require_lm_eval()
    let_waiting_threads_sleep()
    wanted = None if thinking is None else thinking == "on"
    asked = TaskQuestions(name, data, tasks, shots, limit, max_tokens, wanted)
    target = (
        ServedEndpoint(url, model, gateway_key(), tokenizer)
        if url is not None
        else checkpoint_directory(model)
    )
    show(evaluate_task(target, asked, batch_size), output)
