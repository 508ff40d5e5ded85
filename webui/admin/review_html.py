"""The screen on which feedback is looked through."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from common.feedback import JudgedAnswer, Message
from webui.admin.frame import MULTIPART, current, words
from webui.admin.review import NOTE_CHARACTERS, Reviewed, ReviewedVote, ReviewPage, WantedReviews
from webui.texts import Lang


def review_html(lang: Lang, wanted: WantedReviews, page: ReviewPage) -> str:
    """One page of it."""
    rows = "".join(_row(lang, wanted, row) for row in page.rows)
    rows = rows or f"<p>{words(lang, 'review_none')}</p>"
    further = ""
    if page.next:
        older = _address(wanted, after=page.next)
        further = f'<p><a class="next" href="{older}">{words(lang, "review_next")}</a></p>'
    return (
        f"<section><h2>{words(lang, 'admin_screen_review')}</h2>"
        f"<p class='quiet'>{words(lang, 'review_hint')}</p>{_choices(lang, wanted)}{rows}{further}</section>"
    )


def _choices(lang: Lang, wanted: WantedReviews) -> str:
    kinds = "".join(
        f'<a href="{_address(wanted, kind=kind)}"{current(kind == wanted.kind)}>'
        f"{words(lang, f'review_{kind}')}</a>"
        for kind in ("votes", "ratings")
    )
    which = "".join(
        f'<a href="{_address(wanted, excluded=one)}"{current(one == wanted.excluded)}>'
        f"{words(lang, f'review_excluded_{one}')}</a>"
        for one in ("also", "no", "only")
    )
    labels = [f'aria-label="{words(lang, key)}"' for key in ("admin_review_kinds", "admin_review_which")]
    return f'<nav class="tabs" {labels[0]}>{kinds}</nav><nav class="tabs" {labels[1]}>{which}</nav>'


def _address(wanted: WantedReviews, **other: str) -> str:
    asked = {"kind": wanted.kind, "excluded": wanted.excluded} | other
    return escape(f"./admin/review?{urlencode(asked)}", quote=True)


def _row(lang: Lang, wanted: WantedReviews, row: Reviewed) -> str:
    out = f' <span class="chip revoked">{words(lang, "review_is_out")}</span>' if row.excluded else ""
    used = ", ".join(escape(run) for run in row.used_in or ())
    used = f'<span class="quiet">{words(lang, "review_used")} {used}</span>' if used else ""
    said = _said_of_vote(lang, row) if isinstance(row, ReviewedVote) else _said_of_rating(lang, row)
    who = escape(f"{row.created[:16].replace('T', ' ')} · {row.key_id} · {row.rater_id or '-'}")
    note = f'<span class="quiet note">✎ {escape(row.note)}</span>' if row.note else ""
    asked = f'<span class="asked">{escape(_first_line(row))}</span>'
    head = f'<summary>{said}{out}{asked}<span class="quiet">{who}</span>{used}{note}</summary>'
    return f'<details class="card">{head}{_texts(lang, row)}{_form(lang, wanted, row)}</details>'


def _first_line(row: Reviewed) -> str:
    """Of the last question; the browser cuts what is too long."""
    answer = row.left if isinstance(row, ReviewedVote) else row.answer
    question = answer.messages[-1].content.strip() if answer.messages else ""
    return question.partition("\n")[0]


def _said_of_vote(lang: Lang, row: ReviewedVote) -> str:
    sides = f"{_model(row.left)} : {_model(row.right)}"
    return f"<strong>{words(lang, f'choice_{row.choice}')}</strong> {sides}{_comment(row.comment)}"


def _said_of_rating(lang: Lang, row: Reviewed) -> str:
    assert not isinstance(row, ReviewedVote)
    parts = [f"{row.score}/5"] if row.score else []
    parts += [{"up": "👍", "down": "👎"}[row.thumb]] if row.thumb else []
    parts += [words(lang, f"tag_{tag}") for tag in row.tags]
    parts += [words(lang, "review_corrected")] if row.correction else []
    return f"<strong>{' · '.join(parts) or '-'}</strong> {_model(row.answer)}{_comment(row.comment)}"


def _model(answer: JudgedAnswer) -> str:
    checkpoint = f" <code>{escape(answer.checkpoint)}</code>" if answer.checkpoint else ""
    return f"{escape(answer.arm or answer.model)}{checkpoint}"


def _comment(comment: str | None) -> str:
    return f'<span class="quiet">“{escape(comment)}”</span>' if comment else ""


def _texts(lang: Lang, row: Reviewed) -> str:
    if isinstance(row, ReviewedVote):
        shown = [(words(lang, "admin_left"), row.left.answer), (words(lang, "admin_right"), row.right.answer)]
        messages: Sequence[Message] = row.left.messages
    else:
        shown = [(words(lang, "review_answer"), row.answer.answer)]
        shown += [(words(lang, "review_correction"), row.correction)] if row.correction else []
        messages = row.answer.messages
    if not messages and not any(text for _, text in shown):
        return f"<p class='quiet'>{words(lang, 'review_no_text')}</p>"
    asked = [(words(lang, f"review_{message.role}"), message.content) for message in messages]
    return "".join(
        f"<h3>{title}</h3><div class='text' tabindex='0'>{escape(text)}</div>"
        for title, text in asked + shown
    )


def _form(lang: Lang, wanted: WantedReviews, row: Reviewed) -> str:
    at = escape(f"{row.key_id}-{row.id}", quote=True)
    kept = {
        "kind": wanted.kind,
        "show": wanted.excluded,
        "after": wanted.after or "",
        "seen_excluded": "yes" if row.excluded else "",
        "seen_note": row.note or "",
        "key_id": row.key_id,
    }
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value, quote=True)}">'
        for name, value in kept.items()
    )
    return (
        f'<form {MULTIPART} action="admin/review/{escape(row.id, quote=True)}" class="review">{hidden}'
        f'<label class="sure"><input type="checkbox" name="excluded" value="yes"'
        f"{' checked' if row.excluded else ''}> {words(lang, 'review_exclude')}</label>"
        f'<label for="{at}">{words(lang, "admin_note")}</label>'
        f'<textarea id="{at}" name="note" rows="2" maxlength="{NOTE_CHARACTERS}">\n{escape(row.note or "")}'
        f"</textarea><button>{words(lang, 'admin_save')}</button></form>"
    )
