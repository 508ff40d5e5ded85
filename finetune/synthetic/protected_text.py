"""Pieces of a text that a translation must not change: code, addresses, placeholders, formulas."""

import re
from dataclasses import dataclass

_PIECES = re.compile(
    r"```.*?(?:```|$)"  # a block of code
    r"|`[^`\n]+`"
    r"|https?://[^\s<>\"'`)\]]+|\bwww\.[^\s<>\"'`)\]]+"
    r"|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|\$\$.+?\$\$|\$[^$\s][^$\n]{0,200}[\\^_=+*/][^$\n]{0,200}\$"  # formulas, not prices
    r"|\{\{.*?\}\}|\{[A-Za-z_][\w.]*\}|%\([A-Za-z_]\w*\)[sd]|%[sd]\b"
    r"|</?[A-Za-z][\w-]*(?:\s[^<>\n]*)?/?>"
    r"|(?<![\w/])(?:~|\.{1,2})?/(?:[\w.-]+/)*[\w.-]+\.\w{1,5}\b",
    re.DOTALL,
)
_MARK = re.compile(r"⟦\s*(\d+)\s*⟧")


@dataclass(frozen=True)
class Protected:
    """A text with marks ⟦0⟧, ⟦1⟧ in place of protected pieces."""

    text: str
    pieces: tuple[str, ...]

    @property
    def has_words(self) -> bool:
        """Whether words to translate are left beside the marks."""
        return any(sign.isalpha() for sign in _MARK.sub("", self.text))

    def restored(self, translated: str) -> str | None:
        """The translation with the pieces put back; None unless it has each mark exactly once."""
        found = sorted(int(match[1]) for match in _MARK.finditer(translated))
        if found != list(range(len(self.pieces))):
            return None
        return _MARK.sub(lambda match: self.pieces[int(match[1])], translated)


def protected(text: str) -> Protected:
    """Replace the pieces of `text` by marks. Marks that are in the text already are protected, too."""
    pieces: list[str] = []

    def mark(match: re.Match[str]) -> str:
        pieces.append(match[0])
        return f"⟦{len(pieces) - 1}⟧"

    both = re.compile(f"{_MARK.pattern}|{_PIECES.pattern}", re.DOTALL)
    return Protected(both.sub(mark, text), tuple(pieces))
