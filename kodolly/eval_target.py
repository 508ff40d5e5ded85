"""What `kodolly eval` measures: a checkpoint directory, or a served model with --url."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from common.errors import UserError
from kodolly.clients.gateway_access import gateway_key
from kodolly.echo import echo_line
from kodolly.operate.table import table

if TYPE_CHECKING:
    from finetune.eval.models import EvalModel
    from finetune.eval.report import EvalReport

F = TypeVar("F", bound=Callable[..., Any])


def target_options(command: F) -> F:
    """MODEL, --url and --output, which the measuring commands share."""
    for option in (
        click.option(
            "--output", type=click.Path(path_type=Path), help="Write the report there (JSON), for `compare`."
        ),
        click.option(
            "--url", help="Ask the served MODEL at this OpenAI-compatible URL; its key: KODOLLY_API_KEY."
        ),
        click.argument("model"),
    ):
        command = option(command)
    return command


def offline() -> None:
    """Nothing here may look at the hub: for the libraries that are imported after this."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"


def require_libraries(*libraries: str) -> None:
    """Raises UserError that names the extra when one of these libraries is missing."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise UserError(
                f"This takes {library}, which is not installed.",
                hint="Install the extra `finetune`: pip install 'kodolly[finetune]'.",
            )


def checkpoint_directory(model: str) -> Path:
    """MODEL as a checkpoint directory. Raises UserError."""
    directory = Path(model)
    if not (directory / "config.json").is_file():
        raise UserError(
            f"{model} is no checkpoint directory (no config.json).",
            hint="To ask a served model, name its server with --url.",
        )
    return directory


@contextmanager
def opened_target(model: str, url: str | None, template: str | None) -> Iterator["EvalModel"]:
    """The model, loaded or found at its URL, until the block ends. Raises UserError."""
    require_libraries("numpy")
    if url is not None:
        from finetune.eval.served_model import ServedModel

        with closing(ServedModel(url, model, gateway_key())) as served:
            served.check()
            yield served
        return
    directory = checkpoint_directory(model)
    require_libraries("numpy", "torch", "transformers")
    from common.openmp import let_waiting_threads_sleep
    from finetune.eval.checkpoint_model import CheckpointModel, require_chat_template
    from finetune.models.quiet import hide_library_bars

    let_waiting_threads_sleep()
    hide_library_bars()
    loaded = CheckpointModel(directory, template)
    require_chat_template(loaded.tokenizer, directory)
    yield loaded


def show(report: "EvalReport", output: Path | None) -> None:
    """Print the scores, and write the report where it is asked for."""
    from finetune.eval.report import score_rows, write_json

    for line in table(score_rows(report.scores), right=(2, 4)):
        click.echo(line)
    for note in report.notes:
        echo_line(f"Note: {note}", err=True)
    if output is not None:
        write_json(output, report)
        echo_line(f"Report: {output}", err=True)
