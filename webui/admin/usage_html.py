"""The usage of everybody as a table, with a bar for each line."""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape

from webui.admin.frame import current, words
from webui.admin.usage import GroupedBy, UsageReport, UsageSums
from webui.texts import Lang, text

CHART_WIDTH, CHART_HEIGHT = 720, 140
BYS: tuple[GroupedBy, ...] = ("key", "model", "day")


def usage_html(lang: Lang, usage: UsageReport, by: GroupedBy, since: date, names: Mapping[str, str]) -> str:
    """What was used since that day. `names`: what keys are called, by their ids."""
    choices = "".join(
        f'<a href="./admin?by={one}&amp;since={since}#usage"{current(one == by)}>'
        f"{words(lang, f'admin_by_{one}')}</a>"
        for one in BYS
    )
    table = _table(lang, usage, by, names) if usage.rows else f"<p>{words(lang, 'admin_no_usage')}</p>"
    if by == "day" and len(usage.rows) > 1:
        table = _chart(usage.rows) + table
    return (
        f'<section><h2 id="usage">{words(lang, "admin_usage")}</h2>'
        f'<nav class="tabs" aria-labelledby="usage">{choices}</nav>'
        f'<form class="since" action="admin"><input type="hidden" name="by" value="{by}">'
        f'<label for="since">{words(lang, "admin_since")}</label>'
        f'<input id="since" type="date" name="since" value="{since}">'
        f"<button>{words(lang, 'filter_apply')}</button></form>{table}</section>"
    )


def _chart(rows: Sequence[UsageSums]) -> str:
    """Tokens day by day, also of days without any; the table below has the numbers."""
    tokens = {date.fromisoformat(row.name): row.tokens for row in rows}
    first, last, most = min(tokens), max(tokens), max(tokens.values()) or 1
    days = (last - first).days + 1
    step = CHART_WIDTH / days
    bars = "".join(
        f'<rect x="{(day - first).days * step:.2f}" y="{CHART_HEIGHT * (1 - count / most):.2f}"'
        f' width="{step * 0.8:.2f}" height="{CHART_HEIGHT * count / most:.2f}"/>'
        for day, count in tokens.items()
    )
    return (
        f'<figure class="days" aria-hidden="true"><figcaption>{most:,}</figcaption>'
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" preserveAspectRatio="none">{bars}</svg>'
        f"<p><span>{first}</span><span>{last}</span></p></figure>"
    )


def _table(lang: Lang, usage: UsageReport, by: GroupedBy, names: Mapping[str, str]) -> str:
    most = max(row.tokens for row in usage.rows)
    moderated = any(row.withheld or row.flagged for row in usage.rows)
    shown = [(row, _bar(row, most)) for row in usage.rows]
    shown += [(_sum(lang, usage.rows), "")] if len(usage.rows) > 1 else []
    rows = "".join(
        f'<tr><th scope="row">{escape(names.get(row.name, row.name))}</th>'
        + "".join(f"<td>{cell}</td>" for cell in _cells(row, moderated, usage.currency))
        + f"<td>{bar}</td></tr>"
        for row, bar in shown
    )
    heads = [f"admin_by_{by}", "admin_requests", "admin_prompt", "admin_answer", "admin_tokens"]
    heads += ["admin_withheld", "admin_flagged"] if moderated else []
    titles = [words(lang, key) for key in heads]
    titles += [f"{words(lang, 'admin_cost')} ({escape(usage.currency)})"] if usage.currency else []
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    unpriced = sum(row.unpriced_tokens for row in usage.rows)
    note = f'<p class="quiet">{words(lang, "admin_unpriced", tokens=f"{unpriced:,}")}</p>' if unpriced else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-labelledby="usage"><table><thead><tr>{head}'
        f"<td></td></tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _cells(row: UsageSums, moderated: bool, currency: str | None) -> list[str]:
    counts = [row.requests, row.prompt_tokens, row.completion_tokens, row.tokens]
    counts += [row.withheld, row.flagged] if moderated else []
    cells = [f"{count:,}" for count in counts]
    if currency:
        cells.append(f"{row.cost or 0:,.4f}{'+' if row.unpriced_tokens else ''}")
    return cells


def _bar(row: UsageSums, most: int) -> str:
    length = 160 * row.tokens / most if most else 0
    return (
        f'<svg width="160" height="14" aria-hidden="true">'
        f'<rect width="{length:.1f}" height="14" rx="3"/></svg>'
    )


def _sum(lang: Lang, rows: Sequence[UsageSums]) -> UsageSums:
    counts = {
        name: sum(getattr(row, name) or 0 for row in rows)
        for name in UsageSums.model_fields
        if name != "name"
    }
    return UsageSums(name=text(lang, "admin_all"), **counts)
