"""Data to what the page draws: small pieces of HTML. Everything foreign is escaped here."""

import re
from html import escape

from common.status import StatusModel, StatusProvider
from webui.conversation import Side, Turn
from webui.failures import Failure, advice, headline
from webui.metrics import Metrics
from webui.status_cache import StatusCache
from webui.texts import Lang, text

SEPARATOR = '<span class="kd-sep" aria-hidden="true"> · </span>'


def inline(sentence: str) -> str:
    """One of our sentences as HTML, with `code` between backticks."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(sentence))


def both(korean: str, english: str) -> str:
    """Static HTML in both languages: the style sheet shows the one of the page."""
    return f'<span class="kd-ko">{korean}</span><span class="kd-en">{english}</span>'


def transcript(
    pane: str, page: str, side: Side, label: str, *, hidden: bool, opinion: str = "", edit: str = ""
) -> str:
    """The conversation of one pane: which answers stand in it. The browser fetches and draws them
    (`assets/answers.js`), the growing one again and again, without another word from here. With `opinion`,
    the words for it, the reader is asked for one on each answer; with `edit`, each question can be edited."""
    ids = " ".join(turn.id for turn in side.turns)
    running = side.last.id if side.last and side.running else ""
    judged = f' opinion="{escape(opinion)}"' if opinion else ""
    edited = f' edit="{escape(edit)}"' if edit else ""
    return (
        f'<kd-transcript pane="{pane}" label="{escape(label)}" settled="{page}-settled" answers="{ids}"'
        f' running="{running}"{"" if hidden else " names"}{judged}{edited}></kd-transcript>'
    )


def note(turn: Turn, lang: Lang) -> str:
    """What stands in place of an answer without text."""
    if turn.state == "running" or turn.answer.strip():
        return ""
    if turn.reasoning and turn.finish_reason == "length":
        return text(lang, "only_reasoning")
    return text(lang, "failed" if turn.state == "failed" else "no_text")


def thought(turn: Turn, lang: Lang, *, hidden: bool) -> str:
    """The title of a model's reasoning, with the time that it took unless that may tell a hidden name."""
    took = None if hidden else turn.metrics.reasoning_ms
    return text(lang, "thought") + (f" · {duration(took)}" if took is not None else "")


def metrics_line(turn: Turn | None, waited_s: float, lang: Lang, *, hidden: bool = False) -> str:
    """Below an answer: time to first token, tokens a second, tokens, and how it ended. While names are
    hidden, the end alone: who knows the models knows them by their speed."""
    if turn is None:
        return ""
    figures = turn.metrics
    if turn.state == "running" and figures.ttft_ms is None:
        return f'<span class="kd-live">{text(lang, "waiting", seconds=round(waited_s))}</span>'
    if hidden:
        figures = Metrics()
    parts: list[str] = []
    if figures.ttft_ms is not None:
        first = "ttft_reasoning" if figures.reasoned_first else "ttft"
        parts.append(text(lang, first, value=duration(figures.ttft_ms)))
    if figures.tokens_per_s is not None:
        parts.append(text(lang, "rate", value=f"{figures.tokens_per_s:.1f}"))
    if figures.tokens is not None:
        parts.append(text(lang, "tokens", value=f"{figures.tokens:,}"))
    spans = [f"<span>{escape(part)}</span>" for part in parts]
    end, tone = ending(turn, lang)
    spans.append(f'<span class="kd-{tone}">{escape(end)}</span>')
    return SEPARATOR.join(spans)


def duration(milliseconds: float) -> str:
    """`210 ms`, `3.42 s`."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


def ending(turn: Turn, lang: Lang) -> tuple[str, str]:
    """How a turn ended, and the tone to say it in: live, good, warn or bad."""
    if turn.state == "running":
        return text(lang, "answering"), "live"
    if turn.state == "stopped":
        return text(lang, "stopped"), "warn"
    if turn.state == "failed":
        return text(lang, "failed_half" if turn.answer else "failed"), "bad"
    reason = turn.finish_reason or "stop"
    if reason in ("stop", "length", "content_filter"):
        return text(lang, f"finish_{reason}"), "good" if reason == "stop" else "warn"
    return text(lang, "finish_other", reason=reason), "warn"


def failure_card(failure: Failure | None, lang: Lang, *, names_hidden: bool) -> str:
    """What happened, what to do, the request id; the gateway's words unless they may tell a hidden name."""
    if failure is None:
        return ""
    rows = [f"<strong>{inline(headline(failure, lang))}</strong>", f"<p>{inline(advice(failure, lang))}</p>"]
    small: list[str] = []
    if failure.message and not names_hidden:
        small.append(f"{text(lang, 'detail')}: {escape(failure.message)}")
    if failure.request_id:
        small.append(f"{text(lang, 'request_id')}: <code>{escape(failure.request_id)}</code>")
    if small:
        rows.append(f'<p class="kd-small">{"<br>".join(small)}</p>')
    return f'<div class="kd-card kd-failure" role="alert">{"".join(rows)}</div>'


def state_words(model: StatusModel, lang: Lang) -> str:
    """The state of a model for people."""
    if model.state == "ready":
        return text(lang, "state_external" if model.kind == "external" else "state_ready")
    if model.state == "loading":
        return text(lang, "state_loading", percent=round(model.progress * 100))
    if model.state == "down" and model.last_seen_s is not None:
        return text(lang, "state_down_seen", seconds=round(model.last_seen_s))
    return text(lang, f"state_{model.state}")


def chip(cache: StatusCache, model_id: str | None, lang: Lang, *, title: str = "") -> str:
    """Name, dot and state of the chosen model. A `title` stands for a name that is hidden."""
    if title:
        return _named(title, _chip("hidden", text(lang, "names_hidden")))
    if model_id is None:
        return _chip("none", text(lang, "state_none"))
    model = cache.find(model_id)
    if model is None:
        return _named(model_id, _chip("none", text(lang, "state_gone")))
    if cache.trouble is not None:
        return _named(model_id, _chip("none", text(lang, "state_unknown")))
    if cache.key_refused(model_id):
        return _named(model_id, _chip("down", text(lang, "state_key_refused")))
    words = state_words(model, lang)
    if model.running or model.waiting:
        words += " · " + text(lang, "state_busy", running=model.running, waiting=model.waiting)
    return _named(model_id, _chip(model.state, words, model.detail if model.state != "ready" else ""))


def _named(name: str, state: str) -> str:
    return f'<strong class="kd-name">{escape(name)}</strong>{state}'


def _chip(state: str, words: str, detail: str = "") -> str:
    more = f'<span class="kd-small">{escape(detail)}</span>' if detail else ""
    return f'<span class="kd-chip kd-state-{state}"><i aria-hidden="true"></i>{escape(words)}</span>{more}'


def banner(cache: StatusCache, lang: Lang) -> str:
    """One line at the top when something concerns the whole page, else what the gateway keeps of
    conversations that nobody judges; else nothing."""
    if not cache.heard:
        key = "gateway_connecting"
    elif cache.trouble == "gateway_key":
        key = "gateway_key_refused"
    elif cache.trouble is not None:
        key = "gateway_unreachable"
    elif not cache.models:
        key = "no_models"
    elif cache.keeps_conversations:
        return f'<p class="kd-hint">{inline(text(lang, "conversations_kept"))}</p>'
    else:
        return ""
    return f'<div class="kd-card kd-banner" role="status">{inline(text(lang, key))}</div>'


def key_hint(providers: list[StatusProvider], lang: Lang) -> str:
    """How to add the providers whose key is missing."""
    lines: list[str] = []
    for provider in providers:
        if provider.configured:
            continue
        key = "hint_key_openai" if provider.name == "openai" else "hint_key"
        lines.append(inline(text(lang, key, name=provider.name, key_env=provider.key_env)))
    return f'<p class="kd-hint">{"<br>".join(lines)}</p>' if lines else ""


def model_cards(cache: StatusCache, lang: Lang) -> str:
    """One card a model."""
    cards = [_model_card(model, lang, refused=cache.key_refused(model.id)) for model in cache.models]
    return f'<div class="kd-cards">{"".join(cards)}</div>'


def _model_card(model: StatusModel, lang: Lang, *, refused: bool) -> str:
    template = " ".join(filter(None, [model.template, (model.template_hash or "")[:12]]))
    rows = {
        "provider": model.provider,
        "base": model.base,
        "checkpoint": model.checkpoint,
        "method": model.method,
        "licence": model.licence,
        "template": template or None,
        "images": text(lang, "card_takes_images") if model.images else None,
        "context": text(lang, "card_tokens", value=f"{model.context_length:,}")
        if model.context_length
        else None,
        "dtype": model.dtype,
        "parameters": count(model.parameters) if model.parameters else None,
        "workers": str(model.workers) if model.kind == "worker" else None,
    }
    facts = "".join(
        f"<div><dt>{text(lang, f'card_{name}')}</dt><dd>{escape(value)}</dd></div>"
        for name, value in rows.items()
        if value
    )
    state = _chip(model.state, state_words(model, lang), model.detail if model.state != "ready" else "")
    if refused:
        state = _chip("down", text(lang, "state_key_refused"))
    return f'<article class="kd-card"><h2>{escape(model.id)}</h2><p>{state}</p><dl>{facts}</dl></article>'


def count(number: int) -> str:
    """`12.8B`, `350M`, `4.2M`, `900`."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)
