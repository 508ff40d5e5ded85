"""Make a model's Markdown harmless to draw: no HTML, and images become links that nobody follows by itself.

The page's Content-Security-Policy is what keeps the browser from fetching anything foreign; this only
makes sure that the reader sees what the model wrote instead of a broken picture or a swallowed tag.
"""

import re

_CODE = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,}).*?(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)"  # a block, maybe still open
    r"|(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",  # code within a line
    re.DOTALL | re.MULTILINE,
)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")


def safe_markdown(text: str) -> str:
    """`text` with everything outside of code freed from tags and images."""
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        parts += [_plain(text[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*parts, _plain(text[end:])])


def _plain(text: str) -> str:
    return _TAG.sub("&lt;", text).replace("![", r"\![")
