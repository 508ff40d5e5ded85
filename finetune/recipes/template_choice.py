"""Which chat template a recipe trains with: the base's own, one of ours, or one from a file."""

from dataclasses import dataclass
from pathlib import Path

from common.chat_template import load_template, name_of_text, read_own_template, template_names
from common.errors import UserError
from finetune.files.unreadable import unreadable
from finetune.recipes.base import base_of
from finetune.recipes.recipe import Pretraining, Recipe

OWN = "own"
FILE_ENDING = ".jinja"


@dataclass(frozen=True)
class TemplateChoice:
    """A chat template, and how rows are rendered with it."""

    name: str
    """The name of one of ours, or `own` for any other, which is rendered as an engine does, without marks."""
    text: str
    source: str
    """Where the template comes from, as the pre-flight shows it."""

    @property
    def is_own(self) -> bool:
        return self.name == OWN


def check_template_name(recipe: Recipe) -> None:
    """Raises UserError for a template that does not exist. It is cheap, so that it can be called before torch
    loads."""
    name = recipe.template
    if name is None:
        return
    if name == OWN:
        if isinstance(recipe, Pretraining):
            raise UserError(
                "template: own is the base's chat template, and method pretrain has no base.",
                hint=f"Name one of {', '.join(template_names())}, or a file FILE.jinja.",
            )
    elif name.endswith(FILE_ENDING):
        _read(Path(name))
    else:
        load_template(name)


def choose_template(recipe: Recipe) -> TemplateChoice:
    """The recipe's template; where it names none, the base's own, else dolly. Raises UserError."""
    name = recipe.template
    if name is not None and name.endswith(FILE_ENDING):
        return _by_text(_read(Path(name)), Path(name).name)
    if name is not None and name != OWN:
        return TemplateChoice(name, load_template(name), name)
    base = base_of(recipe)
    text = read_own_template(base) if base else None
    if text is not None:
        return _by_text(text, "the base's own")
    if name == OWN:
        raise UserError(
            f"The base {base} has no chat template of its own.",
            hint=f"Name one of {', '.join(template_names())}, or a file FILE.jinja.",
        )
    return TemplateChoice("dolly", load_template("dolly"), "dolly")


def _by_text(text: str, source: str) -> TemplateChoice:
    ours = name_of_text(text)
    return TemplateChoice(ours, text, ours) if ours else TemplateChoice(OWN, text, source)


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise unreadable(path, error, "The chat template") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The chat template {path} is not UTF-8 text.") from error
    if not text.strip():
        raise UserError(f"The chat template {path} is empty.")
    return text
