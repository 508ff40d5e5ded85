"""The chat templates that training, checkpoints and serving share, as files beside this module.

A template is Jinja in the dialect of transformers, with `{% generation %}` marks around what the
assistant says (https://huggingface.co/docs/transformers/chat_templating). Nothing here renders:
transformers does it in training, vLLM does it at serving, both from the same bytes.
"""

import hashlib
from pathlib import Path

from common.errors import UserError

TEMPLATE_DIR = Path(__file__).parent / "templates"


def template_names() -> list[str]:
    """Names that `load_template` knows, sorted."""
    return sorted(path.stem for path in TEMPLATE_DIR.glob("*.jinja"))


def load_template(name: str) -> str:
    """The template's text. Raises UserError for an unknown name."""
    if name not in template_names():
        raise UserError(f"There is no chat template {name!r}.", hint=f"Known: {', '.join(template_names())}.")
    return (TEMPLATE_DIR / f"{name}.jinja").read_text(encoding="utf-8")


def template_hash(text: str) -> str:
    """First 16 hex digits of the text's SHA-256: enough to tell two templates apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
