"""Marks that stand in a text for want of mending: HTML's tags and entities, and code fences that share a
line with text."""

import re
from html import unescape

_INLINE = "b|i|u|em|strong|small|font|span|center|mark"
_BLOCK = (
    "div|p|table|tbody|thead|tr|td|th|ul|ol|li|dl|dt|dd|h[1-6]|blockquote|pre|code|section|article|form"
    "|button"
)
_OTHER = "a|sup|sub|iframe|script|style|ref|input|img"
_ATTRIBUTES = r"(?:\s+[A-Za-z-]+(?:\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>]+))?)*\s*"
_VOID = re.compile(rf"<(?:br|hr)\s*/?>|<img{_ATTRIBUTES}/?>", re.IGNORECASE)
_CLOSING = re.compile(rf"</(?:{_INLINE}|{_BLOCK}|{_OTHER})\s*>", re.IGNORECASE)
_WITH_ATTRIBUTE = re.compile(
    rf"<(?:{_INLINE}|{_BLOCK}|{_OTHER})\s+[A-Za-z-]+\s*=\s*[\"'][^<>]*>", re.IGNORECASE
)
_ENTITY = re.compile(
    r"&(?:nbsp|amp|lt|gt|quot|apos|middot|hellip|emsp|ensp|[lr][sd]quo|ndash|mdash|#\d{2,5}|#x[0-9a-f]{2,5});",
    re.IGNORECASE,
)
_ABOUT_TAGS = re.compile(
    r"html|(?<!시)태그|마크업|xml|svg|css|jsx|웹\s?(?:페이지|사이트|개발)|javascript|자바\s?스크립트|react|리액트|vue|django|php|jsp"
    r"|regex|정규\s?(?:표현)?식|markdown|마크다운|엔티티|```|굵게|굵은|볼드|기울임|이탤릭|밑줄|색상",
    re.IGNORECASE,
)
"""Where tags and entities may be what is talked about."""
_BREAK = re.compile(r"[ \t]*<br\s*/?>[ \t]*\n?", re.IGNORECASE)
_UNWRAPPED = re.compile(
    rf"<({_INLINE}){_ATTRIBUTES}>((?:(?!<\1[\s>]).)*?)</\1\s*>", re.IGNORECASE | re.DOTALL
)
_PARAGRAPH = re.compile(r"\s*<p>\s*((?:(?!<p>).)*?)\s*</p>\s*", re.IGNORECASE | re.DOTALL)


def is_about_tags(text: str) -> bool:
    """Whether a row's whole text is about HTML, code or formatting, where tags are what was meant."""
    return _ABOUT_TAGS.search(text) is not None


def may_hold_html(text: str) -> bool:
    """False for nearly every text, quickly."""
    return "<" in text or ("&" in text and ";" in text)


def html(text: str) -> str | None:
    """A tag or entity in the text. `x<b`, `List<a>` and `a < b > c` are none: a tag that can enclose text
    is one only
    with its end or an attribute."""
    if tag := _tag(text):
        return tag
    match = _ENTITY.search(text)
    return match[0] if match else None


def _tag(text: str) -> str | None:
    for pattern in (_VOID, _CLOSING, _WITH_ATTRIBUTE):
        if match := pattern.search(text):
            return match[0][:60]
    return None


def mend_html(text: str) -> str:
    """The text with line breaks for `<br>` and `<p>`, characters for entities, and without tags that only
    say how letters look.

    Left alone is a text in which entities spell out tags: that may be what it is about.
    """
    mended = _BREAK.sub("\n", text)
    if _ENTITY.search(mended):
        spelt_out = _ENTITY.sub(lambda match: unescape(match[0]), mended)
        if _tag(spelt_out) is None or _tag(mended) is not None:
            mended = spelt_out
    while (unwrapped := _UNWRAPPED.sub(r"\2", mended)) != mended:
        mended = unwrapped
    return _PARAGRAPH.sub(r"\n\1\n", mended) if _PARAGRAPH.search(mended) else mended


_FENCE = re.compile(r"^[ \t>]{0,4}(`{3,}|~{3,})", re.MULTILINE)
_TICKS = re.compile("`+")
_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{0,20}[ \t]*\Z")


def is_fence_open(text: str) -> bool:
    """Whether a code fence is still open at the end (CommonMark 4.5: closed by one as long, of the same
    sign)."""
    opened = ""
    for fence in _FENCE.findall(text):
        if not opened:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = ""
    return bool(opened)


def mend_fences(text: str) -> str:
    """The text with each fence around several lines of code on a line of its own. Where fences don't come
    in pairs, or are
    not of three backticks, nothing is sure and nothing changes."""
    marks = list(_TICKS.finditer(text))
    fences = [mark for mark in marks if len(mark[0]) >= 3]
    if len(fences) % 2 or any(len(mark[0]) != 3 for mark in fences):
        return text
    parts: list[str] = []
    end = 0
    for opening, closing in zip(fences[::2], fences[1::2], strict=True):
        before, code = text[end : opening.start()], text[opening.end() : closing.start()]
        end = closing.end()
        if "\n" not in code:
            parts += [before, "```", code, "```"]
            continue
        line, rest = code.split("\n", 1)
        if _LANGUAGE.fullmatch(line) is None:
            line, rest = "", f"{line}\n{rest}"
        parts += [_own_line(before, bool(parts)), f"```{line}\n{_ending_line(rest)}```"]
        if end < len(text) and not text[end:].lstrip(" \t").startswith("\n"):
            parts.append("\n")
            end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    return "".join([*parts, text[end:]])


def _own_line(before: str, follows: bool) -> str:
    """What stands before an opening fence, so that the fence begins a line."""
    last = before.rsplit("\n", 1)[-1]
    if not last.strip(" \t>"):
        return before if len(last) <= 3 or ">" in last else before.rstrip(" \t")
    return before.rstrip(" \t") + "\n"


def _ending_line(code: str) -> str:
    """Code, so that the closing fence begins a line."""
    last = code.rsplit("\n", 1)[-1]
    if not last.strip(" \t>"):
        return code if len(last) <= 3 or ">" in last else code.rstrip(" \t")
    return code + "\n"
