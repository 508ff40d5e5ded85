"""Reads a recipe from its YAML file and applies the command line's overrides."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from common.errors import UserError
from common.yaml_text import BrokenYaml, parse_yaml
from finetune.files.unreadable import FILE_ENDINGS, HUB_ID
from finetune.recipes.keys import METHOD_DEFAULTS, ChatKeys
from finetune.recipes.recipe import KINDS, AnyRecipe, EmbeddingTuning, Recipe, validate_any_recipe
from finetune.recipes.sections import Architecture, Dpo, Embed, Kto, Lora, Orpo, Section, Simpo, Source
from finetune.recipes.template_choice import FILE_ENDING, check_template_name

SECTIONS: dict[str, type[Section]] = {
    "architecture": Architecture,
    "lora": Lora,
    "dpo": Dpo,
    "kto": Kto,
    "orpo": Orpo,
    "simpo": Simpo,
    "embed": Embed,
    "data": Source,
    "replay": Source,
    "validation": Source,
}
KEYS = tuple(dict.fromkeys(key for kind in KINDS for key in kind.model_fields))
"""The keys of all methods."""


def load_recipe(path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> Recipe:
    """`load_any_recipe` where a model that writes is wanted. Raises UserError."""
    recipe = load_any_recipe(path, overrides, folder)
    if isinstance(recipe, EmbeddingTuning):
        raise UserError(f"The recipe {path} makes a model of vectors, which writes no answers.")
    return recipe


def load_any_recipe(path: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> AnyRecipe:
    """Read a recipe and apply `key=value` overrides (`lora.rank=8`, `data.0.share=0.5`, `data=rows.jsonl`).

    Paths in the file are relative to `folder`, the file's own unless given; paths in overrides to the
    current directory. Raises UserError.
    """
    values = _anchored(_read_yaml(path), folder or path.parent)
    for override in overrides:
        key, value = _split_override(override)
        _assign(values, key.split("."), value, key)
    try:
        recipe = validate_any_recipe(values)
    except ValidationError as error:
        raise _explain(error, path) from error
    if isinstance(recipe, ChatKeys):
        check_template_name(recipe)
    return recipe


def _read_yaml(path: Path) -> dict[str, object]:
    if path.suffix in FILE_ENDINGS and path.suffix != ".json":
        raise UserError(
            f"{path} is a data file, no recipe.",
            hint=f"`kodolly train RECIPE data={path}` trains on it; `kodolly recipes list` shows recipes.",
        )
    if (path / "config.json").is_file():
        raise UserError(
            f"{path} is a model, no recipe.",
            hint=f"`kodolly train RECIPE base={path}` begins with it; `kodolly recipes list` shows recipes.",
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The recipe {path} is not UTF-8 text.") from error
    except BrokenYaml as error:
        where = f", line {error.line}" if error.line else ""
        raise UserError(f"The recipe {path}{where} is not valid YAML: {error.reason}.") from error
    if not isinstance(values, dict):
        raise UserError(f"The recipe {path} must hold `key: value` lines such as `method: lora`.")
    return values


def _anchored(values: Mapping[str, object], folder: Path) -> dict[str, object]:
    """`values` with every path made absolute, relative ones taken from `folder`."""

    def anchor(value: object) -> object:
        return str((folder / Path(value).expanduser()).resolve()) if isinstance(value, str) else value

    def anchor_source(source: object) -> object:
        if isinstance(source, dict) and "path" in source:
            return {**source, "path": anchor(source["path"])}
        return source

    result: dict[str, Any] = dict(values)
    for key in ("data", "replay"):
        if isinstance(result.get(key), list):
            result[key] = [anchor_source(source) for source in result[key]]
    if isinstance(result.get("text"), list):
        result["text"] = [anchor(item) for item in result["text"]]
    if isinstance(result.get("template"), str) and result["template"].endswith(FILE_ENDING):
        result["template"] = anchor(result["template"])
    if "validation" in result:
        result["validation"] = anchor_source(result["validation"])
    base = result.get("base")
    if isinstance(base, str) and ((folder / base).is_dir() or not HUB_ID.fullmatch(base)):
        result["base"] = anchor(base)
    return result


def _split_override(override: str) -> tuple[str, object]:
    key, equals, text = override.partition("=")
    if not key or not equals:
        raise UserError(
            f"The override {override!r} is not of the form key=value.", hint="For example: lora.rank=8"
        )
    try:
        value = parse_yaml(text)
    except BrokenYaml as error:
        raise UserError(f"The value in {override!r} cannot be read as YAML.") from error
    parts = key.split(".")
    if isinstance(value, str) and key in ("data", "replay", "validation"):
        value = {"path": value} if key == "validation" else [{"path": value}]
    if parts[-1] == "path":
        return key, str(Path(str(value)).expanduser().resolve())
    return key, _anchored({parts[0]: value}, Path.cwd())[parts[0]] if len(parts) == 1 else value


def _assign(values: Any, parts: Sequence[str], value: object, key: str) -> None:
    """Set the value at a dotted key, given as its parts; missing sections are created."""
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(values, list):
            if not part.isdigit() or int(part) >= len(values):
                raise UserError(
                    f"The override {key!r}: there is no item {part!r}; the list has {len(values)}."
                )
            slot: Any = int(part)
        elif isinstance(values, dict):
            slot = part
            if not last:
                values.setdefault(slot, {})
        else:
            raise UserError(f"The override {key!r}: {'.'.join(parts[:depth])!r} has no keys below it.")
        if last:
            values[slot] = value
        else:
            values = values[slot]


def _explain(error: ValidationError, path: Path) -> UserError:
    first = error.errors()[0]
    if first["type"].startswith("union_tag"):
        methods = ", ".join(METHOD_DEFAULTS)
        return UserError(f"The recipe {path}: `method` is one of {methods}.")
    loc = [str(part) for part in first["loc"][1:]]  # the first is the method
    where = ".".join(loc)
    if first["type"] == "extra_forbidden":
        known = tuple(SECTIONS[loc[0]].model_fields) if len(loc) > 1 else KEYS
        near = difflib.get_close_matches(loc[-1], known, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        return UserError(f"The recipe {path} has an unknown key {where!r}.", hint=hint)
    reason = first["msg"].removeprefix("Value error, ")
    return UserError(f"The recipe {path}: {f'{where}: ' if where else ''}{reason}.")
