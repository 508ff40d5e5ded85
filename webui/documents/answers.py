"""An answer of the Responses API as pieces of text and citations, and a page around what is cited."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MARKERS = re.compile(r"[ \t]?\[\s*\d{1,4}(?:\s*[,、~–-]\s*\d{1,4})*\s*\]")
CONFIDENCE = re.compile(r"confidence (\d+)%")
"""In what the documents service says of a page whose text it has recognised in a picture."""
JsonRecord = dict[str, Any]


@dataclass(frozen=True)
class PaperPage:
    """A page as it was read, and why its text is doubtful."""

    text: str
    problem: str = ""


def question_body(model: str, store_id: str, question: str) -> JsonRecord:
    """What the gateway is asked."""
    tools = [{"type": "file_search", "vector_store_ids": [store_id]}]
    return {"model": model, "input": question, "tools": tools, "store": False}


def pieces(response: JsonRecord) -> list[JsonRecord]:
    """`{"text": ...}` and `{"cite": ...}` in the order of the answer. A citation stands behind the sentence
    that rests on it, in the place of the model's own marker."""
    made: list[JsonRecord] = []
    for item in response.get("output") or ():
        for part in (item.get("content") or ()) if item.get("type") == "message" else ():
            if part.get("type") == "output_text":
                made += _cut(str(part.get("text") or ""), part.get("annotations") or ())
    return made


def _cut(text: str, annotations: Sequence[JsonRecord]) -> list[JsonRecord]:
    known = sorted(
        (one for one in annotations if isinstance(one.get("passage"), dict)), key=lambda one: one["index"]
    )
    made: list[JsonRecord] = []
    at = 0
    for one in known:
        end = min(max(int(one["index"]), at), len(text))
        if words := MARKERS.sub("", text[at:end]):
            made.append({"text": words})
        made.append({"cite": _citation(one)})
        at = end
    rest = text[at:]
    return [*made, {"text": rest}] if rest else made


def _citation(one: JsonRecord) -> JsonRecord:
    passage = one["passage"]
    span = passage.get("span") or [None, None]
    return {
        "number": passage.get("number"),
        "file": one.get("file_id"),
        "filename": one.get("filename"),
        "page": passage.get("page"),
        "quote": passage.get("quote") or "",
        "start": span[0],
        "end": span[1],
        "supported": bool(passage.get("supported")),
        **_doubt(str(passage.get("problem") or "")),
    }


def _doubt(problem: str) -> JsonRecord:
    """`problem` in the service's words; `confidence` in percent where the text comes from a picture."""
    found = CONFIDENCE.search(problem)
    return {"problem": problem, "confidence": int(found[1]) if found else None}


def opened(
    pages: Sequence[PaperPage], page: int | None, start: int | None, end: int | None, quote: str
) -> JsonRecord:
    """The page with what is cited cut out of it: `before`, `quote`, `after`.

    `page` counts from 1; `start` and `end` are characters of the page. Where they are missing, or the paper
    has changed since, the quote is looked for; `quote` is empty where it stands nowhere on the page. Also why
    the page's text is doubtful.
    """
    number = min(max(page or 1, 1), max(len(pages), 1))
    if quote:  # a passage over two pages is said to stand on its first one
        near = [number, *range(number + 1, len(pages) + 1), *range(1, number)]
        number = next((one for one in near if one <= len(pages) and quote in pages[one - 1].text), number)
    shown = pages[number - 1] if pages else PaperPage("")
    text = shown.text
    begin, stop = start or 0, end or 0
    if quote and text[begin:stop] != quote:
        begin = max(text.find(quote), 0)
        stop = begin + len(quote) if text[begin:].startswith(quote) else begin
    return {
        "page": number,
        "pages": len(pages),
        "before": text[:begin],
        "quote": text[begin:stop],
        "after": text[stop:],
        **_doubt(shown.problem),
    }
