"""The words that the page's script draws opinions with."""

import json
from typing import get_args

from common.feedback import Tag
from webui.opinions.texts import MESSAGES, SCRIPT
from webui.texts import Lang, text


def script_words(lang: Lang) -> str:
    """JSON: each sentence by its name, and what the tags are called."""
    at = 0 if lang == "ko" else 1
    words = {key.removeprefix(SCRIPT): pair[at] for key, pair in MESSAGES.items() if key.startswith(SCRIPT)}
    tags = {tag: text(lang, f"tag_{tag}") for tag in get_args(Tag)}
    return json.dumps(words | {"each_tag": tags}, ensure_ascii=False)
