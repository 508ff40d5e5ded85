"""`kodolly recipes show`."""

import click

EPILOG = """\b
Examples:
  kodolly recipes show polyglot-ko-5.8b-lora
"""


@click.command("show", epilog=EPILOG)
@click.argument("name")
def command(name: str) -> None:
    """Show the shipped recipe NAME: its model, licence, memory, command, and the file itself."""
    from finetune.models.quiet import hide_library_notes
    from finetune.models.shipped_recipes import gpu_need, launch_command, shipped
    from kodolly.operate.table import table

    hide_library_notes()
    entry = shipped(name)
    need = gpu_need(entry)
    plan, facts = need.plan, entry.facts
    parts = (
        ("weights", plan.weights // need.gpus),
        ("gradients", plan.gradients // need.gpus),
        ("optimizer", plan.optimizer // need.gpus),
        ("activations", plan.activations),
        ("logits", plan.logits),
    )
    memory = ", ".join(f"{part} {size / 1e9:.1f}" for part, size in parts)
    on = f" on each of {need.gpus} GPUs" if need.gpus > 1 else ""
    rows = [
        ("model", entry.model),
        ("licence", f"{facts.licence} ({facts.use}), {facts.source}"),
        ("memory", f"{need.bytes_each / 1e9:.1f} GB{on}: {memory}"),
        ("command", launch_command(entry, need)),
    ]
    if facts.note:
        rows.append(("note", facts.note))
    if facts.revision:
        rows.append(("weights", _how_to_download(entry.model, facts.revision)))
    for line in table(rows):
        click.echo(line)
    click.echo()
    click.echo(entry.path.read_text(encoding="utf-8"), nl=False)


def _how_to_download(model: str, revision: str) -> str:
    directory = model.rpartition("/")[2]
    return (
        "Published as pickles, which are not loaded; safetensors that others made of them: "
        f"`hf download {model} --revision {revision} --local-dir {directory}`, "
        f"then train with base={directory}"
    )
