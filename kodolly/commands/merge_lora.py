"""`kodolly merge lora`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly merge lora runs/my-adapter runs/my-dolly
"""


@click.command("lora", epilog=EPILOG)
@click.argument("adapter", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
def command(adapter: Path, output: Path) -> None:
    """Merge the LoRA ADAPTER into its base and write the complete checkpoint OUTPUT."""
    from finetune.adapter import read_adapter
    from finetune.progress import terminal_report
    from finetune.threads import let_waiting_threads_sleep

    read_adapter(adapter)  # a wrong directory is told before torch loads
    let_waiting_threads_sleep()
    from finetune.merge import merge

    merge(adapter, output, terminal_report())
    click.echo(output)
