"""`kodolly recipes import`."""

from pathlib import Path

import click

from common.escape import escape_controls
from kodolly.echo import echo_line

EPILOG = """\b
Examples:
  kodolly recipes import llama3_lora_sft.yaml
  kodolly recipes import qwen3_dpo.yaml my-recipe.yaml

docs/from_llama_factory.md has every key.
"""


@click.command("import", epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", required=False, type=click.Path(path_type=Path))
def command(file: Path, target: Path | None) -> None:
    """Write the LLaMA-Factory training file FILE as a recipe to TARGET, NAME.yaml unless given.

    Keys without a counterpart are told one by one, with what to do. What is there is not overwritten.
    """
    import yaml

    from common.errors import UserError
    from common.yaml_text import BrokenYaml, parse_yaml
    from finetune.recipes.llamafactory import import_recipe
    from finetune.recipes.load import load_any_recipe

    try:
        values = parse_yaml(file.read_text(encoding="utf-8"))
    except (BrokenYaml, UnicodeDecodeError) as error:
        raise UserError(f"{file} cannot be read as YAML.") from error
    if not isinstance(values, dict):
        raise UserError(f"{file} holds no `key: value` lines.")
    made = import_recipe(values)
    target = target or Path(f"{made.recipe['name']}.yaml")
    if target.exists():
        raise UserError(f"{target} is there already.", hint="Name another file, or delete that one.")
    comments = [f"# {escape_controls(f'{key}: {reason}')}\n" for key, reason in made.missing.items()]
    body = yaml.safe_dump(made.recipe, allow_unicode=True, sort_keys=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"# From {escape_controls(file.name)}\n{''.join(comments)}{body}", encoding="utf-8")
    try:
        load_any_recipe(target)
    except UserError:
        target.unlink()
        raise
    for key, reason in made.missing.items():
        echo_line(f"{key}: {reason}", err=True)
    flag = {"dpo": " --pairs", "kto": " --labels"}.get(str(values.get("stage")), "")
    echo_line(f"Convert the rows with `kodolly data convert{flag}`; put the base's `licence:` in.", err=True)
    echo_line(target)
