"""The figures as HTML. A table holds all that is true; a plot beside it repeats it for the eye."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from typing import get_args

from common.leaderboard.bradley_terry import Strength
from common.leaderboard.evidence import Decision
from common.leaderboard.intervals import Interval
from common.leaderboard.results import PairResult, RatingResult
from webui.pages.results.plots import interval_plot, trend_plot
from webui.results.downloads import FIGURES, Table
from webui.results.figures import Leaderboard, Query
from webui.texts import Lang, text


def results_html(
    figures: Leaderboard, query: Query, lang: Lang, *, training: bool, texts: bool, one_by_one: str
) -> str:
    """The whole page below its header. Without `texts` there is no file with what people wrote."""
    parts = [f"<h1>{_t(lang, 'results_title')}</h1>", _filters(figures, query, lang)]
    parts.append(f'<p class="kd-hint">{_counted(figures, lang)}</p>')
    parts.append(one_by_one)
    if not texts:
        parts.append(f'<p class="kd-hint" id="one-by-one">{_t(lang, "feedback_not_shown")}</p>')
    if not figures.votes and not figures.ratings:
        parts.append(f'<p class="kd-card">{_t(lang, "results_none")}</p>')
    if figures.strengths:
        parts.append(_leaderboard(figures, query, lang))
        parts.append(_matrix(figures, query, lang))
        parts.append(_pairs(figures, query, lang))
    if figures.ratings:
        parts.append(_ratings(figures.ratings, query, lang))
    parts.append(_trend(figures, lang))
    parts.append(_remarks(figures, lang))
    parts.append(_downloads(query, lang, training=training and texts, texts=texts))
    return "".join(parts)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 1) -> str:
    """Cells are HTML. The first column names the row; from column `numbers` on, cells stand to the right."""
    heads = "".join(f'<th scope="col"{_right(at, numbers)}>{cell}</th>' for at, cell in enumerate(head))
    lines = []
    for row in rows:
        cells = "".join(f"<td{_right(at, numbers)}>{cell}</td>" for at, cell in enumerate(row[1:], 1))
        lines.append(f'<tr><th scope="row">{row[0]}</th>{cells}</tr>')
    return (
        f'<div class="kd-scroll" tabindex="0" role="region" aria-label="{escape(caption, quote=True)}">'
        f'<table class="kd-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _right(column: int, numbers: int) -> str:
    return ' class="kd-number"' if column >= numbers else ""


def _t(lang: Lang, key: str, **values: object) -> str:
    return escape(text(lang, key, **values))


def _link(query: Query, words: str, label: str, **changed: str | None) -> str:
    address = escape(query.filters.address("results", **changed) + "#one-by-one", quote=True)
    return f'<a href="{address}" aria-label="{escape(label, quote=True)}">{escape(words)}</a>'


def _filters(figures: Leaderboard, query: Query, lang: Lang) -> str:
    """A form of the browser's own: it works with a keyboard, and its answer is an address."""
    checked = " checked" if query.blind else ""
    study = (
        f'<label><input type="checkbox" name="study" value="{escape(query.study, quote=True)}" checked> '
        f"{_t(lang, 'filter_study')}</label>"
        if query.study
        else ""
    )
    return (
        f'<form class="kd-filters" method="get" action="./results">{study}'
        f'<label><input type="checkbox" name="blind" value="1"{checked}> {_t(lang, "filter_blind")}</label>'
        + _choice("locale", figures.locales, query.locale, lang)
        + _choice("category", figures.categories, query.category, lang)
        + "".join(
            f"<label>{_t(lang, f'filter_{name}')}"
            f' <input type="date" name="{name}" value="{day or ""}"></label>'
            for name, day in (("since", query.since), ("until", query.until))
        )
        + f'<button type="submit">{_t(lang, "filter_apply")}</button>'
        f'<a href="./results">{_t(lang, "filter_reset")}</a></form>'
    )


def _choice(name: str, counts: dict[str, int], chosen: str | None, lang: Lang) -> str:
    options = [f'<option value="">{_t(lang, "filter_all")}</option>']
    for value, count in (counts if chosen in (None, *counts) else {chosen: 0} | counts).items():
        mark = " selected" if value == chosen else ""
        words = escape(str(value), quote=True)
        options.append(f'<option value="{words}"{mark}>{words} ({count:,})</option>')
    return f'<label>{_t(lang, f"filter_{name}")} <select name="{name}">{"".join(options)}</select></label>'


def _counted(figures: Leaderboard, lang: Lang) -> str:
    words = _t(lang, "results_counted", votes=f"{figures.votes:,}", raters=f"{figures.raters:,}")
    return words if figures.complete else f"{words} {_t(lang, 'results_newest')}"


def _leaderboard(figures: Leaderboard, query: Query, lang: Lang) -> str:
    spans = [one.rating for one in figures.strengths]
    grouped = len({one.group for one in figures.strengths}) > 1
    rows = []
    for one in figures.strengths:
        bad = figures.both_bad.get(one.name)
        votes = _link(query, f"{one.votes:,}", text(lang, "show_votes", name=one.name), model=one.name)
        rows.append(
            [named(one.name), _rank(one, grouped), f"{one.rating.value:.0f}", _span(one.rating, "{:.0f}"),
             interval_plot(one.rating, spans), votes, f"{bad.value:.0%}" if bad else "–"]
        )  # fmt: skip
    head = [_t(lang, f"col_{name}") for name in
            ("model", "rank", "strength", "interval", "plot", "votes", "both_bad")]  # fmt: skip
    note = f'<p class="kd-hint">{_t(lang, "results_groups")}</p>' if grouped else ""
    return table(text(lang, "results_leaderboard"), head, rows) + note


def _rank(one: Strength, grouped: bool) -> str:
    ranks = str(one.best_rank) if one.best_rank == one.worst_rank else f"{one.best_rank}–{one.worst_rank}"
    return f"{chr(ord('A') + one.group % 26)}{ranks}" if grouped else ranks


def named(contender: str) -> str:
    """The name, and smaller its checkpoint."""
    name, _, checkpoint = contender.rpartition("@")
    if not name:
        return f"<bdi>{escape(contender)}</bdi>"
    return f'<bdi>{escape(name)}</bdi> <code class="kd-small">{escape(checkpoint)}</code>'


def _span(interval: Interval, form: str) -> str:
    return f"{form.format(interval.low)} – {form.format(interval.high)}"


def _matrix(figures: Leaderboard, query: Query, lang: Lang) -> str:
    names = [one.name for one in figures.strengths]
    rates: dict[tuple[str, str], float] = {}
    for pair in figures.pairs:
        if pair.wins + pair.losses + pair.ties:
            rates[pair.first, pair.second] = pair.win_rate.value
            rates[pair.second, pair.first] = 1 - pair.win_rate.value
    rows = []
    for name in names:
        cells = [named(name)]
        for rival in names:
            share = rates.get((name, rival))
            if share is None:
                cells.append("–")
                continue
            label = text(lang, "show_pair", first=name, second=rival, share=f"{share:.0%}")
            link = _link(query, f"{share:.0%}", label, model=name, rival=rival)
            cells.append(f'<span class="kd-share" style="--share:{share:.2f}">{link}</span>')
        rows.append(cells)
    head = [_t(lang, "col_against"), *(named(name) for name in names)]
    return table(text(lang, "results_matrix"), head, rows)


def _pairs(figures: Leaderboard, query: Query, lang: Lang) -> str:
    columns = ("model", "rival", "decision", "won", "lost", "tied", "both_bad", "win_rate", "interval")
    head = [_t(lang, f"col_{name}") for name in columns]
    rows = [_pair(one, query, lang) for one in figures.pairs]
    return table(text(lang, "results_pairs"), head, rows, numbers=3)


def _pair(one: PairResult, query: Query, lang: Lang) -> list[str]:
    counts = [f"{count:,}" for count in (one.wins, one.losses, one.ties, one.both_bad)]
    label = text(lang, "show_pair", first=one.first, second=one.second, share=f"{one.win_rate.value:.0%}")
    rate = _link(query, f"{one.win_rate.value:.1%}", label, model=one.first, rival=one.second)
    decided = _decision(one.first, one.second, one.decision, lang)
    return [named(one.first), named(one.second), decided, *counts, rate, _span(one.win_rate, "{:.1%}")]


def _decision(first: str, second: str, decision: Decision, lang: Lang) -> str:
    if decision.winner is not None:
        winner = first if decision.winner > 0 else second
        return f'<strong class="kd-decided">{_t(lang, "decided", name=winner)}</strong>'
    if decision.more is None:
        return _t(lang, "undecided_close")
    return _t(lang, "undecided_more", more=f"{decision.more:,}")


def _ratings(ratings: Sequence[RatingResult], query: Query, lang: Lang) -> str:
    head = [_t(lang, f"col_{name}") for name in
            ("model", "tags", "rating", "interval", "plot", "scores", "up", "down")]  # fmt: skip
    whole = [Interval(value=3, low=1, high=5)]
    rows = []
    for one in ratings:
        tags = ", ".join(
            f"{_t(lang, f'tag_{tag}')} {count:,}" for tag, count in one.tags.items() if _known(tag)
        )
        mean = one.mean
        spread = (
            [f"{mean.value:.2f}", _span(mean, "{:.2f}"), interval_plot(mean, whole)] if mean else ["–"] * 3
        )
        label = text(lang, "show_ratings", name=one.model)
        scores = _link(query, f"{one.n:,}", label, model=one.model, what="ratings")
        rows.append([named(one.model), tags or "–", *spread, scores, f"{one.up:,}", f"{one.down:,}"])
    return table(text(lang, "results_ratings"), head, rows, numbers=2)


def _known(tag: str) -> bool:
    return tag in ("factual_error", "tone", "verbose", "repetition", "incomplete", "mixed_language")


def _trend(figures: Leaderboard, lang: Lang) -> str:
    """The trend of every name with two or more checkpoints, in the order in which people first judged
    them."""
    strengths = {one.name: one for one in figures.strengths}
    ratings = {one.model: one for one in figures.ratings}
    of_name: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for contender, when in figures.first_judged.items():
        name, _, checkpoint = contender.rpartition("@")
        if name and checkpoint:
            of_name[name].append((when, contender))
    parts: list[str] = []
    for name, seen in sorted(of_name.items()):
        if len(seen) < 2:
            continue
        order = [contender for _, contender in sorted(seen)]
        rows = []
        for when, contender in sorted(seen):
            strength, rated = strengths.get(contender), ratings.get(contender)
            rows.append(
                [f"<code>{escape(contender.rpartition('@')[2])}</code>", escape(when[:10]),
                 f"{strength.rating.value:.0f}" if strength else "–",
                 _span(strength.rating, "{:.0f}") if strength else "–",
                 f"{rated.mean.value:.2f}" if rated and rated.mean else "–",
                 f"{rated.n:,}" if rated else "–"]
            )  # fmt: skip
        head = [_t(lang, f"col_{one}") for one in
                ("checkpoint", "first_judged", "strength", "interval", "rating", "scores")]  # fmt: skip
        spans = [strengths[one].rating for one in order if one in strengths]
        parts.append(table(text(lang, "results_trend", name=name), head, rows) + trend_plot(spans))
    return "".join(parts)


def _remarks(figures: Leaderboard, lang: Lang) -> str:
    lines: list[str] = []
    if left := figures.left_rate:
        lines.append(_t(lang, "remark_left", share=f"{left.value:.0%}", span=_span(left, "{:.0%}")))
    for what, value in (("votes", figures.vote_agreement), ("ratings", figures.rating_agreement)):
        if value is not None:
            lines.append(_t(lang, f"remark_agreement_{what}", alpha=f"{value:.2f}"))
    return f'<p class="kd-hint">{"<br>".join(lines)}</p>' if lines else ""


def _downloads(query: Query, lang: Lang, *, training: bool, texts: bool) -> str:
    names = get_args(Table) if texts else FIGURES
    made = ["dpo.jsonl", "kto.jsonl", "sft.jsonl"] if training else []

    def links(files: Sequence[str]) -> str:
        found = [(name, query.filters.address(f"results/files/{name}")) for name in files]
        return " ".join(f'<a href="{escape(url, quote=True)}" download>{name}</a>' for name, url in found)

    rows = f'<p class="kd-files">{_t(lang, "files_results")} {links(names)}</p>'
    if made:
        rows += f'<p class="kd-files">{_t(lang, "files_training")} {links(made)}</p>'
        rows += f'<p class="kd-hint">{_t(lang, "files_training_note")}</p>'
    return f"<h2>{_t(lang, 'results_files')}</h2>{rows}"
