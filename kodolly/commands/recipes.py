"""`kodolly recipes`."""

import click

from kodolly.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  kodolly recipes list
  kodolly recipes show mistral-7b-qlora
  kodolly recipes copy polyglot-ko-5.8b-lora my-recipe.yaml
  kodolly recipes import llama3_lora_sft.yaml
"""
TABLE = {
    "list": "Every shipped recipe: method, GPU memory, licence, command.",
    "show": "One recipe with its model, licence and memory.",
    "copy": "Write a recipe to a file of your own.",
    "import": "A recipe from a LLaMA-Factory training file.",
}


@click.group("recipes", cls=LazyGroup, table=TABLE, epilog=EPILOG)
def command() -> None:
    """The recipes that come with kodolly."""
