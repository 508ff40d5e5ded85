"""`kodolly merge lora`."""

from pathlib import Path

import click

from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly merge lora runs/my-adapter runs/my-dolly
  kodolly merge lora runs/my-adapter runs/my-dolly --base /models/polyglot-ko-1.3b
  kodolly merge lora runs/my-adapter runs/my-dolly --dtype float32 --prompts 8
  kodolly merge lora saves/peft-adapter runs/my-dolly --base /models/Qwen2.5-7B --licence Apache-2.0
"""


@click.command("lora", epilog=EPILOG)
@click.argument("adapter", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    help="Where the base lies now, if it has moved or another trainer wrote the adapter.",
)
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32"]),
    help="Type of the merged weights.  [default: the base's own]",
)
@click.option(
    "--prompts",
    type=click.IntRange(min=1),
    help="Conversations on which adapter and merged model are compared.  [default: all the adapter has, 32]",
)
@click.option(
    "--template",
    metavar="NAME",
    help="Chat template of another trainer's adapter.  [default: the adapter's own, or its base's]",
)
@click.option("--licence", metavar="NAME", help="Of the result, where the base of such an adapter says none.")
@click.option(
    "--push", metavar="OWNER/NAME", help="Also copy the result to the hub; a new repository is private."
)
def command(
    adapter: Path,
    output: Path,
    base: Path | None,
    dtype: str | None,
    prompts: int | None,
    template: str | None,
    licence: str | None,
    push: str | None,
) -> None:
    """Merge the LoRA or QLoRA ADAPTER into its base and write the complete checkpoint OUTPUT.

    ADAPTER is one of `kodolly train`, or what PEFT writes for other trainers (LLaMA-Factory, axolotl, TRL,
    Unsloth).

    The base is read and written tensor by tensor, so it need not fit in memory, and a run that was killed
    goes on where it was. Then base with adapter and the merged model are compared; they must prefer the same
    token at 99% of the answers' tokens and stop equally often, or nothing is written. Where vLLM is
    installed, it must make the tokens of each prompt that training in the base's own template saw.
    """
    _get_ready(adapter)
    from finetune.merge.lora import merge
    from finetune.merge.serving_proof import has_renderer
    from finetune.models import hub
    from finetune.progress import terminal_report

    hub.require_hub(push)
    merge(
        adapter,
        output,
        terminal_report(),
        base=base,
        dtype=dtype,
        prompts=prompts,
        template=template,
        licence=licence,
        renderer=has_renderer(),
    )
    hub.push(output, push, terminal_report())
    echo_line(output)


def _get_ready(adapter: Path) -> None:
    """Tell of a wrong directory before torch loads."""
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.adapter import is_ours, read_adapter, require_safetensors
    from finetune.models.quiet import hide_library_notes

    require_safetensors(adapter)
    if is_ours(adapter):
        read_adapter(adapter)
    let_waiting_threads_sleep()
    hide_library_notes()
