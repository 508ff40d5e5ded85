"""Votes and ratings one by one, as they were given: what stands behind a number."""

from collections.abc import Sequence
from html import escape

from common.leaderboard.judgements import contender
from webui.pages.results.tables import named
from webui.results.figures import Query
from webui.results.judged import JudgementRow
from webui.texts import MESSAGES, STATIC, Lang, text


def judgement_cards(rows: Sequence[JudgementRow], query: Query, lang: Lang) -> str:
    """The newest judgements on the chosen model."""
    name = " – ".join(filter(None, [query.model, query.rival]))
    key = "one_by_one" if rows else "one_by_one_none"
    words = escape(text(lang, key, name=name, count=len(rows)))
    close = escape(query.filters.address(), quote=True)
    cards = "".join(_card(row, lang) for row in rows)
    return (
        f'<section id="one-by-one" aria-labelledby="one-by-one-title"><h2 id="one-by-one-title">{words}</h2>'
        f'<p><a href="{close}">{escape(text(lang, "one_by_one_close"))}</a></p>{cards}</section>'
    )


def _card(row: JudgementRow, lang: Lang) -> str:
    sides = ("left", "right") if "choice" in row else ("answer",)
    asked = row[sides[0]].get("messages") or []
    question = asked[-1].get("content", "") if asked else text(lang, "text_not_kept")
    answers = "".join(_answer(row, side, lang) for side in sides)
    return (
        f'<article class="kd-card kd-judged"><pre class="kd-plain">{escape(question)}</pre>'
        f'<div class="kd-answers">{answers}</div><p class="kd-small">{_said(row, lang)}</p></article>'
    )


def _answer(row: JudgementRow, side: str, lang: Lang) -> str:
    answer = row[side]
    won = row.get("choice") == side
    mark = f' <strong class="kd-decided">{escape(text(lang, "better"))}</strong>' if won else ""
    words = answer.get("answer") or text(lang, "text_not_kept")
    correction = row.get("correction") if side == "answer" else None
    corrected = (
        f'<p class="kd-small">{escape(text(lang, "correction"))}</p>'
        f'<pre class="kd-plain">{escape(correction)}</pre>'
        if correction
        else ""
    )
    name = named(contender(answer).name)
    return f'<div><p>{name}{mark}</p><pre class="kd-plain">{escape(words)}</pre>{corrected}</div>'


def _said(row: JudgementRow, lang: Lang) -> str:
    parts: list[str] = []
    if "choice" in row:
        parts.append(_word("choice", row["choice"], lang))
    if row.get("score"):
        parts.append(text(lang, "score_of_5", score=row["score"]))
    if row.get("thumb"):
        parts.append(text(lang, f"col_{row['thumb']}"))
    parts += [_word("tag", tag, lang) for tag in row.get("tags") or ()]
    parts += [str(row[name]) for name in ("category", "comment") if row.get(name)]
    parts.append(text(lang, "blind_vote" if row.get("blind") else "open_vote"))
    rater = row.get("rater_id")
    parts.append(text(lang, "by_rater", rater=rater[:8]) if rater else "")
    parts.append(str(row["created"])[:16].replace("T", " "))
    return " · ".join(escape(part) for part in parts if part)


def _word(kind: str, value: str, lang: Lang) -> str:
    key = f"{kind}_{value}"
    return text(lang, key) if key in MESSAGES or key in STATIC else str(value)
