"""What each sentence of an answer rests on: the passage that it names or that says it, checked and quoted.

A sentence is supported by a passage that holds nearly all of its content morphemes and all of its numbers.
Of nine answers to one paragraph (right, inflected, with a wrong number, with a wrong person) only the right
ones passed, and one with a negation, which no count of words can see.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from documents.answers.markers import MARKER, numbers_of
from documents.answers.passage import Passage
from documents.morphemes import morphemes_of

LEAST_SHARE = 0.9
"""The share of a sentence's content morphemes that a passage must hold."""
LEAST_MORPHEMES = 2
"""The fewest content morphemes of a sentence without a marker: a shorter one ("네.") stands in every
passage."""
LONGEST_SENTENCE = 1000
"""Characters of a sentence that are looked at: Kiwi takes minutes for what a model writes that has lost its
way."""
_ENDS = "[.?!。…]"
_END = rf"{_ENDS}++[\"'”’)\]」』]*+"


def _sentences(end: str) -> re.Pattern[str]:
    """Sentences that end with `end` before a space, or with their line. Signs that end none are passed over
    at once, however many there are."""
    end = rf"{end}(?=\s|$)"
    return re.compile(rf"[^\n](?:[^\n.?!。…]++|(?!{end}){_ENDS}++)*+(?:{end}|(?=\n|$))")


_SENTENCE = _sentences(rf"{_END}(?:[ \t]*+{MARKER.pattern})*")
_QUOTABLE = _sentences(_END)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True)
class Citation:
    """A sentence of an answer, and the passage below it."""

    start: int
    end: int
    """The sentence, in characters of the answer."""
    number: int
    """Of the passage, from 1."""
    quote: str
    """The sentence of the passage that says it; the first one where none does."""
    quote_start: int
    """Where the quote begins in the passage's text."""
    marked: bool
    """The answer itself names the passage."""
    supported: bool
    """The passage itself bears the sentence out."""


def cited(answer: str, passages: Sequence[Passage]) -> list[Citation]:
    """Citations in the order of the answer. A marker that is not supported is told, too: it is the model's
    word. A sentence without a marker is cited where a passage supports it."""
    if not passages:
        return []
    sentences = [match for match in _SENTENCE.finditer(answer) if match[0].strip()]
    known = [set(terms) for terms in morphemes_of([passage.text for passage in passages])]
    digits = [set(_NUMBER.findall(passage.text)) for passage in passages]
    bare = [MARKER.sub("", match[0]).strip() for match in sentences]
    told = morphemes_of([text[:LONGEST_SENTENCE] for text in bare])
    found: list[Citation] = []
    for match, text, terms in zip(sentences, bare, map(set, told), strict=True):
        named = [n for marker in MARKER.findall(match[0]) for n in numbers_of(marker) if n <= len(passages)]
        numbers = set(_NUMBER.findall(text))
        good = [
            at
            for at in range(len(passages))
            if terms and len(terms & known[at]) >= LEAST_SHARE * len(terms) and numbers <= digits[at]
        ]
        chosen = [n - 1 for n in dict.fromkeys(named) if n >= 1]
        if not chosen and good and len(terms) >= LEAST_MORPHEMES:
            chosen = [max(good, key=lambda at: len(terms & known[at]))]
        for at in chosen:
            start, quote = _quote(passages[at].text, terms)
            found.append(
                Citation(
                    match.end() - len(match[0].lstrip()),
                    match.end(),
                    at + 1,
                    quote,
                    start,
                    marked=bool(named),
                    supported=at in good,
                )
            )
    return found


def _quote(text: str, terms: set[str]) -> tuple[int, str]:
    """Where the sentence of a passage that has most of these terms begins, and the sentence."""
    sentences = [match for match in _QUOTABLE.finditer(text) if match[0].strip()]
    if not sentences:
        return 0, text
    held = morphemes_of([match[0] for match in sentences])
    shares = [len(terms & set(one)) / (len(set(one)) + 3) for one in held]
    best = sentences[max(range(len(sentences)), key=shares.__getitem__)]
    return best.start() + len(best[0]) - len(best[0].lstrip()), best[0].strip()


def annotation(citation: Citation, passage: Passage) -> dict[str, Any]:
    """OpenAI's file citation, with page, quote and span as a field of ours.

    A span is of the text of the page (of the document where it has no pages); None where the quote stands
    on a joint of two pages.
    """
    return {
        "type": "file_citation",
        "file_citation": {
            "file_id": passage.file_id,
            "filename": passage.filename,
            "start_index": citation.start,
            "end_index": citation.end,
        },
        "passage": passage_object(citation, passage),
    }


def passage_object(citation: Citation, passage: Passage) -> dict[str, Any]:
    """Where the quote stands."""
    page, span = _place(citation, passage)
    return {
        "number": citation.number,
        "page": page,
        "quote": citation.quote,
        "span": span,
        "headings": list(passage.headings),
        "problem": passage.problem,
        "marked": citation.marked,
        "supported": citation.supported,
    }


def _place(citation: Citation, passage: Passage) -> tuple[int | None, list[int] | None]:
    """Page and span: on the first page of the passage from its begin, on the last one from its end."""
    first, last = passage.spans[0], passage.spans[-1]
    start, end = citation.quote_start, citation.quote_start + len(citation.quote)
    if end <= first.end - first.start:
        return first.page, [first.start + start, first.start + end]
    before_last = len(passage.text) - (last.end - last.start)
    if len(passage.spans) > 1 and start >= before_last:
        return last.page, [last.start + start - before_last, last.start + end - before_last]
    return first.page, None
