"""The chat templates that training, checkpoints and serving share, as files beside this module.

A template is Jinja in the dialect of transformers, with `{% generation %}` marks around what the
assistant says (https://huggingface.co/docs/transformers/chat_templating). Nothing here renders:
transformers does it in training, vLLM does it at serving, both from the same bytes.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from common.errors import UserError

TEMPLATE_DIR = Path(__file__).parent / "templates"
TEMPLATE_FILE = "chat_template.jinja"
"""Of a checkpoint."""


def template_names() -> list[str]:
    """Names that `load_template` knows, sorted."""
    return sorted(path.stem for path in TEMPLATE_DIR.glob("*.jinja"))


def load_template(name: str) -> str:
    """The template's text. Raises UserError for an unknown name."""
    if name not in template_names():
        raise UserError(f"There is no chat template {name!r}.", hint=f"Known: {', '.join(template_names())}.")
    return (TEMPLATE_DIR / f"{name}.jinja").read_text(encoding="utf-8")


def name_of_text(text: str) -> str | None:
    """Our name for a template's text; None for one that is not ours."""
    return next((name for name in template_names() if load_template(name) == text), None)


def read_own_template(directory: Path) -> str | None:
    """The chat template that a checkpoint brings, where transformers and vLLM look for it; None for none.

    Of several named ones it is the default.
    """
    file = directory / TEMPLATE_FILE
    if file.is_file():
        return file.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        found = _read_json(directory / name).get("chat_template")
        if isinstance(found, list):
            named = {str(one.get("name")): one.get("template") for one in found if isinstance(one, dict)}
            found = named.get("default")
        if isinstance(found, str) and found.strip():
            return found
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def template_hash(text: str) -> str:
    """First 16 hex digits of the text's SHA-256: enough to tell two templates apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
