"""`kodolly recipes list`."""

import json
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finetune.catalogue import GpuNeed, Shipped

EPILOG = """\b
Examples:
  kodolly recipes list
  kodolly recipes list --fits 24GB --commercial
  kodolly recipes list --json
"""


def _gigabytes(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    """Bytes of `24GB`, `24 GB` or `24`."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:GB?)?", text.strip(), re.IGNORECASE)
    if not found or not float(found[1]):
        raise click.BadParameter("write it as 24GB")
    return round(float(found[1]) * 10**9)


@click.command("list", epilog=EPILOG)
@click.option("--fits", metavar="24GB", callback=_gigabytes, help="Only those that one GPU of so much holds.")
@click.option("--commercial", is_flag=True, help="Only models that may be used commercially.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(fits: int | None, commercial: bool, as_json: bool) -> None:
    """List the shipped recipes.

    GPU memory is computed for the recipe as it stands, with every sequence at its longest, and given for
    each GPU; models that do not fit on one of 80 GB lie on several.
    """
    from finetune.catalogue import gpu_need, recipe_names, shipped
    from finetune.models.quiet import hide_library_notes

    hide_library_notes()
    named = [shipped(name) for name in recipe_names()]
    allowed = [entry for entry in named if not commercial or entry.facts.use == "commercial"]
    found = [(entry, gpu_need(entry)) for entry in allowed]
    if fits is not None:
        found = [(entry, need) for entry, need in found if need.gpus == 1 and need.bytes_each <= fits]
    if as_json:
        listed = [_as_json(entry, need) for entry, need in found]
        click.echo(json.dumps(listed, ensure_ascii=False, indent=2))
    elif found:
        _show(found)
    else:
        click.echo("No shipped recipe is like that.")


def _as_json(entry: "Shipped", need: "GpuNeed") -> dict[str, str | int | None]:
    from finetune.catalogue import launch_command

    return {
        "name": entry.name,
        "model": entry.model,
        "method": entry.recipe.method,
        "template": entry.recipe.template,
        "licence": entry.facts.licence,
        "use": entry.facts.use,
        "licence_source": entry.facts.source,
        "gpus": need.gpus,
        "gpu_bytes": need.bytes_each,
        "command": launch_command(entry, need),
    }


def _show(found: "Sequence[tuple[Shipped, GpuNeed]]") -> None:
    from finetune.catalogue import launch_command
    from kodolly.operate.table import table

    rows = [("MODEL", "METHOD", "GPU MEMORY", "LICENCE", "COMMAND")]
    for entry, need in found:
        times = f"{need.gpus} × " if need.gpus > 1 else ""
        rows.append(
            (
                entry.model,
                entry.recipe.method,
                f"{times}{need.bytes_each / 1e9:.0f} GB",
                f"{entry.facts.use}: {entry.facts.licence}",
                launch_command(entry, need),
            )
        )
    for line in table(rows, right=(2,)):
        click.echo(line)
    if any(need.gpus > 1 for _, need in found):
        click.echo("\nfsdp.yaml: `kodolly recipes copy` writes it beside a recipe that needs it.")
    click.echo("\nWhere the licences are stated:")
    models = {entry.model: entry.facts for entry, _ in found}
    for line in table([(f"  {model}", facts.source) for model, facts in models.items()]):
        click.echo(line)
