"""`kodolly merge models`."""

from pathlib import Path

import click

from common.errors import UserError
from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly merge models slerp.yaml models/between
  kodolly merge models moe.yaml models/experts --name dolly-moe --licence Apache-2.0
"""


@click.command("models", epilog=EPILOG)
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the result.  [default: OUTPUT's last part]")
@click.option("--template", help="Chat template, where the models have none or several.")
@click.option("--licence", help="Licence of the result, where a model does not say its own.")
@click.option("--seed", default=42, show_default=True, help="For methods that draw at random (DARE).")
def command(
    config: Path, output: Path, name: str | None, template: str | None, licence: str | None, seed: int
) -> None:
    """Merge whole models as mergekit's CONFIG says and write the complete checkpoint OUTPUT.

    CONFIG is mergekit's own YAML: slerp, dare_ties, ties, linear, passthrough ... or, with `experts`, a
    mixture of experts. Models are directories or hub ids in the local cache; nothing is downloaded.
    """
    import importlib.util

    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_notes
    from finetune.progress import terminal_report

    if importlib.util.find_spec("mergekit") is None:
        raise UserError("Merging models needs mergekit.", hint="Install the extra `merge`.")
    let_waiting_threads_sleep()
    hide_library_notes()
    from finetune.merge.mergekit import merge_models

    merge_models(config, output, terminal_report(), name=name, template=template, licence=licence, seed=seed)
    echo_line(output)
