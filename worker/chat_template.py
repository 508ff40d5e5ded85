"""The chat template of a published checkpoint that has none of its own."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.chat_template import TEMPLATE_DIR, read_own_template
from common.template_facts import template_of_model
from worker.flags import value_of


def template_flags(directory: Path, args: Sequence[str]) -> list[str]:
    """`--chat-template FILE` for a model known by its id, when neither it nor `args` bring a template.

    Without one vLLM refuses every chat. The id is looked for in the directory's name, in that of a Hugging
    Face cache folder above it and in config.json.
    """
    if value_of(args, ("--chat-template",)) is not None or read_own_template(directory) is not None:
        return []
    path = directory.resolve()
    names = [part for part in path.parts if part.startswith("models--")]
    names += ["/".join(path.parts[-2:]), str(_read(path / "config.json").get("_name_or_path") or "")]
    found = next((template for name in names if (template := template_of_model(name))), None)
    return ["--chat-template", str(TEMPLATE_DIR / f"{found}.jinja")] if found else []


def _read(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
