"""KorQuAD: articles with questions whose answer stands in the text.

1.0 (SQuAD's shape, plain text): the paragraph is the context. 2.0 and 2.1 (whole Wikipedia pages as HTML,
answers up to whole tables): the page becomes text, and a window around the answer is the context. The answer
is always a part of the context, at `meta.answer_start` (in characters).
"""

import re
from collections.abc import Iterator, Sequence

from finetune.data.convert.fields import (
    ConvertOptions,
    Record,
    RowOrUnusable,
    UnusableRecord,
    is_text,
    meta,
    row,
)
from finetune.data.convert.html_text import html_text

_FIRST_MARK = 0xE000
_MOST_MARKED = 3000
_MARK = re.compile(r"[\ue000-\uf8ff]")
"""Unicode's private use area: two characters for each answer go through the HTML parser with the text."""
_TAGS_BEFORE = re.compile(r"(?:\s|<[^>]*>)*")
_TAGS_AFTER = re.compile(r"(?:\s|<[^>]*>)*\Z")
_TAG = re.compile(r"<[^>]*>")
_CUT_WITHIN = 200
"""How far from where the window ends by length a line or word end is looked for, in characters."""


def is_article_1(record: Record) -> bool:
    """An article of KorQuAD 1.0, or a row of its table form (`question, context, answers`)."""
    paragraphs = record.get("paragraphs")
    if isinstance(paragraphs, list):
        return all(isinstance(p, dict) and is_text(p, "context") and "qas" in p for p in paragraphs)
    return is_text(record, "question", "context") and isinstance(record.get("answers"), dict | list)


def is_article_2(record: Record) -> bool:
    """A page of KorQuAD 2, or a row of its table form (`question, context, answer`)."""
    if is_text(record, "question", "context"):
        return isinstance(record.get("answer"), dict) and "answer_start" in record["answer"]
    return is_text(record, "context") and isinstance(record.get("qas"), list)


def rows_1(record: Record, options: ConvertOptions) -> Iterator[RowOrUnusable]:
    """A row for each question."""
    facts = meta(options, record, ("title",))
    paragraphs = record.get("paragraphs")
    if paragraphs is None:
        paragraphs = [{"context": record.get("context"), "qas": [record]}]
    if not isinstance(paragraphs, list):
        raise UnusableRecord("the article's paragraphs are not an array", broken=True)
    for paragraph in paragraphs:
        text = paragraph.get("context") if isinstance(paragraph, dict) else None
        if not isinstance(text, str):
            yield UnusableRecord("a paragraph has no context", broken=True)
            continue
        questions = paragraph.get("qas")
        if not isinstance(questions, list):
            yield UnusableRecord("a paragraph has no questions", broken=True)
            continue
        for question in questions:
            try:
                answer, start = _answer(question)
                start = _locate(text, answer, start)
            except UnusableRecord as reason:
                yield reason
                continue
            yield _row(question, text, start, start + len(answer), facts)


def rows_2(record: Record, options: ConvertOptions) -> Iterator[RowOrUnusable]:
    """A row for each question, with a window of `options.window` characters around the answer."""
    facts = meta(options, record, ("title", "url"))
    html = record.get("context")
    if not isinstance(html, str):
        raise UnusableRecord("the page has no context", broken=True)
    questions = record["qas"] if isinstance(record.get("qas"), list) else [record]
    spans: list[tuple[int, int] | UnusableRecord] = []
    for question in questions:
        try:
            answer, start = _answer(question)
            start = _locate(html, answer, start)
            spans.append((start, start + len(answer)))
        except UnusableRecord as reason:
            spans.append(reason)
    text, found = _text_and_spans(html, [s if isinstance(s, tuple) else None for s in spans])
    for question, span, place in zip(questions, spans, found, strict=True):
        if isinstance(span, UnusableRecord):
            yield span
        elif place is None:
            yield UnusableRecord(f"question {_name(question)}: the answer is not in the page's visible text")
        else:
            start, end = place
            left, right = window(text, start, end, options.window)
            yield _row(question, text[left:right], start - left, end - left, facts)


def window(text: str, start: int, end: int, longest: int) -> tuple[int, int]:
    """Where to cut `text` so that [start, end) stands about in the middle of at most `longest` characters, or
    of just the answer where that is longer. Cuts fall between lines or words where one ends nearby."""
    if len(text) <= longest:
        return 0, len(text)
    spare = max(0, longest - (end - start))
    left = max(0, min(start - spare // 2, len(text) - longest))
    right = min(len(text), max(end, left + longest))
    if left:
        near = text[left - 1 : min(start, left + _CUT_WITHIN)]
        for mark in ("\n", " "):
            if (cut := near.find(mark)) >= 0:
                left += cut
                break
    if right < len(text):
        floor = max(end, right - _CUT_WITHIN)
        for mark in ("\n", " "):
            if (cut := text.rfind(mark, floor, right + 1)) >= 0:
                right = cut
                break
    return left, right


def _text_and_spans(
    html: str, spans: Sequence[tuple[int, int] | None]
) -> tuple[str, list[tuple[int, int] | None]]:
    """The page's text, and where each span of the HTML stands in it (None: nowhere)."""
    html = _MARK.sub("\ufffd", html)
    marks, blocks = _marks(html, spans[:_MOST_MARKED])
    pieces, last = [], 0
    for place, _, mark in sorted(marks):
        pieces += [html[last:place], mark]
        last = place
    marked = html_text("".join([*pieces, html[last:]]))

    plain, places, length, last = [], {}, 0, 0
    for match in _MARK.finditer(marked):
        piece = marked[last : match.start()]
        plain.append(piece)
        length += len(piece)
        places[match.group()] = length
        last = match.end()
    text = "".join([*plain, marked[last:]])
    found: list[tuple[int, int] | None] = []
    for number, span in enumerate(spans):
        first = places.get(chr(_FIRST_MARK + 2 * number)) if number < _MOST_MARKED else None
        final = places.get(chr(_FIRST_MARK + 2 * number + 1)) if number < _MOST_MARKED else None
        found.append(_span(text, first, final, number in blocks) if span is not None else None)
    return text, found


def _marks(html: str, spans: Sequence[tuple[int, int] | None]) -> tuple[list[tuple[int, int, str]], set[int]]:
    """The marks that go around each span's text (where, order at one place, character), and the numbers of
    the spans that both begin and end with a tag."""
    marks = []
    blocks = set()
    for number, span in enumerate(spans):
        if span is None:
            continue
        start, end = span
        inner = html[start:end]
        before = _TAGS_BEFORE.match(inner)
        assert before is not None  # it matches the empty string too
        after = _TAGS_AFTER.search(inner)
        assert after is not None
        if before.end() >= after.start():
            continue  # tags alone
        if "<" in before.group() and "<" in after.group():
            blocks.add(number)
        # Inside the tags: between <table> and <tr> a browser's parser would move text out of the table.
        marks.append((start + before.end(), 1, chr(_FIRST_MARK + 2 * number)))
        marks.append((start + after.start(), 0, chr(_FIRST_MARK + 2 * number + 1)))
    return marks, blocks


def _span(text: str, start: int | None, end: int | None, block: bool) -> tuple[int, int] | None:
    if start is None or end is None or start >= end:
        return None
    if block:  # a whole table or list: its first and last line belong to it with their marks
        start = text.rfind("\n", 0, start) + 1
        line_end = text.find("\n", end)
        end = len(text) if line_end < 0 else line_end
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _answer(question: object) -> tuple[str, int]:
    """The (first) answer's text and its published place."""
    if not isinstance(question, dict) or not is_text(question, "question"):
        raise UnusableRecord("a question has no text", broken=True)
    if question.get("is_impossible"):
        raise UnusableRecord(f"question {_name(question)} has no answer in the text")
    answers = question.get("answers", question.get("answer"))
    if isinstance(answers, list):
        answers = answers[0] if answers else None
    if isinstance(answers, dict):
        text, start = answers.get("text"), answers.get("answer_start")
        if isinstance(text, list) and isinstance(start, list):
            text, start = (text[0], start[0]) if text and start else (None, None)
        if isinstance(text, str) and text.strip() and isinstance(start, int):
            return text, start
    raise UnusableRecord(f"question {_name(question)} has no answer", broken=answers is not None)


def _locate(text: str, answer: str, start: int) -> int:
    """`start`, or the nearest place of the answer where the published one is off."""
    if text[start : start + len(answer)] == answer:
        return start
    before, after = text.rfind(answer, 0, max(0, start) + len(answer)), text.find(answer, max(0, start))
    places = [place for place in (before, after) if place >= 0]
    if not places:
        raise UnusableRecord(f"the answer {_TAG.sub(' ', answer)[:40].strip()!r} is not in the context")
    return min(places, key=lambda place: abs(place - start))


def _row(question: Record, text: str, start: int, end: int, facts: dict[str, object]) -> RowOrUnusable:
    answer = text[start:end]
    shift = len(answer) - len(answer.lstrip())
    own: dict[str, object] = {"answer_start": start + shift}
    if question.get("id"):
        own["id"] = question["id"]
    try:
        asked = question["question"].strip()
        return row(asked, answer.strip(), {**facts, **own}, context=text, category="closed_qa")
    except UnusableRecord as reason:
        return reason


def _name(question: Record) -> str:
    return str(question.get("id") or question.get("question", "")[:40])
