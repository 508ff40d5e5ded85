"""`kodolly recipes list`."""

import json
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finetune.models.published.model import PublishedModel
    from finetune.models.shipped_recipes import GpuNeed, Shipped

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
    """List the shipped recipes, family by family.

    GPU memory is computed for the recipe as it stands, with every sequence at its longest, and given for
    each GPU; models that do not fit on one of 80 GB lie on several.
    """
    from finetune.models.quiet import hide_library_notes
    from finetune.models.shipped_recipes import gpu_need, recipe_names, shipped

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


def _as_json(entry: "Shipped", need: "GpuNeed") -> dict[str, str | int | float | None]:
    from finetune.models.korean_tokens import tokens_per_character
    from finetune.models.shipped_recipes import launch_command

    return {
        "name": entry.name,
        "family": entry.facts.family,
        "model": entry.model,
        "method": entry.recipe.method,
        "template": getattr(entry.recipe, "template", None),
        "licence": entry.facts.licence,
        "use": entry.facts.use,
        "licence_source": entry.facts.source,
        "note": entry.facts.note,
        "gpus": need.gpus,
        "gpu_bytes": need.bytes_each,
        "tokens_per_korean_character": tokens_per_character(entry.model),
        "command": launch_command(entry, need),
    }


def _show(found: "Sequence[tuple[Shipped, GpuNeed]]") -> None:
    from kodolly.operate.table import table

    families = sorted({entry.facts.family for entry, _ in found}, key=str.casefold)
    rows: list[tuple[str, ...]] = [("  MODEL", "METHOD", "GPU MEMORY", "USE", "COMMAND")]
    heads: list[tuple[int, str]] = []
    for family in families:
        heads.append((len(rows), family))
        rows += [_row(entry, need) for entry, need in found if entry.facts.family == family]
    lines = table(rows, right=(2,))
    for place, family in reversed(heads):
        lines[place:place] = ["", family]
    for line in lines:
        click.echo(line)
    if any(need.gpus > 1 for _, need in found):
        click.echo("\nfsdp.yaml: `kodolly recipes copy` writes it beside a recipe that needs it.")
    _show_models({entry.model: entry.facts for entry, _ in found})


def _row(entry: "Shipped", need: "GpuNeed") -> tuple[str, ...]:
    from finetune.models.shipped_recipes import launch_command

    times = f"{need.gpus} × " if need.gpus > 1 else ""
    memory = f"{times}{need.bytes_each / 1e9:.0f} GB"
    return (f"  {entry.model}", entry.recipe.method, memory, entry.facts.use, launch_command(entry, need))


def _show_models(models: "dict[str, PublishedModel]") -> None:
    """Licences, where they are stated, and how well each tokenizer at hand knows Korean."""
    from finetune.models.korean_tokens import tokens_per_character
    from kodolly.operate.table import table

    counts = {model: tokens_per_character(model) for model in models}
    known = any(counts.values())
    rows: list[tuple[str, ...]] = [("  MODEL", "LICENCE", "STATED AT") + (("TOKENS",) if known else ())]
    for model, facts in models.items():
        tokens = f"{counts[model]:.2f}" if counts[model] else ""
        row = (f"  {model}", facts.licence, facts.source)
        rows.append(row + ((tokens,) if known else ()))
    click.echo("\nLicences (`kodolly recipes show NAME` tells their conditions):")
    for line in table(rows):
        click.echo(line)
    if known:
        click.echo("\nTOKENS: per Korean character, of the tokenizers on this machine.")
