"""A clean report for people and programs: Markdown with samples, JSON, and two plots."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from common.errors import UserError
from finetune.data.clean.assemble import CleanReport
from finetune.data.clean.chunk import ShownRow
from finetune.data.clean.licences import allows_commercial_use, may_be_passed_on
from finetune.rows.reasons import MENDED, REJECTED

FIELDS = ("instruction", "context", "response")
PERCENTILES = ("p50", "p90", "p99", "max")


def write_clean_report(report: CleanReport, directory: Path) -> None:
    """Write report.md, report.json, rejected.png and lengths.png. Raises UserError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
        (directory / "report.json").write_bytes(encoded + b"\n")
        (directory / "report.md").write_text(markdown(report), encoding="utf-8")
        _plot(report, directory)
    except OSError as error:
        raise UserError(f"The report {directory} cannot be written: {error.strerror or error}.") from error


def summary(report: CleanReport) -> str:
    """A few lines for the terminal: how many rows, and what was wrong."""
    lines = [f"{report.read:,} rows read, {report.kept:,} kept ({_share(report.kept, report.read)})."]
    for title, counts, texts in (
        ("Rejected", report.rejected, REJECTED),
        ("Mended", report.mended, MENDED),
        ("Let pass", report.allowed, REJECTED),
    ):
        if counts:
            lines += ["", f"{title}:"]
            lines += [f"  {count:>9,}  {name:<22} {texts[name]}" for name, count in _by_count(counts)]
    if report.evaluation_items:
        lines += ["", _compared(report)]
    return "\n".join(lines)


def markdown(report: CleanReport) -> str:
    """The whole report, with the samples."""
    parts = ["# Data report", "", *_overview(report)]
    parts += _counts("Rejected", report.rejected, REJECTED)
    parts += _counts("Mended", report.mended, MENDED)
    parts += _counts("Let pass (`--allow`)", report.allowed, REJECTED)
    parts += _sources(report)
    parts += _kept(report)
    for title, texts in (("Samples of rejected rows", REJECTED), ("Samples of mended rows", MENDED)):
        shown = {name: report.samples[name] for name in texts if name in report.samples}
        if shown:
            parts += ["", f"## {title}", *_samples(shown)]
    return "\n".join(parts) + "\n"


def _overview(report: CleanReport) -> list[str]:
    lines = ["| File | Rows |", "|---|--:|"]
    lines += [f"| {_cell(path)} | {count:,} |" for path, count in report.inputs.items()]
    lines += [
        "",
        f"{report.read:,} rows were read: {report.kept:,} kept ({_share(report.kept, report.read)}), "
        f"{report.read - report.kept:,} rejected.",
    ]
    if report.evaluation_items:
        lines.append(_compared(report))
    return lines


def _compared(report: CleanReport) -> str:
    short = report.evaluation_items_too_short
    said = f"Compared with {report.evaluation_items:,} evaluation items"
    if not short:
        return f"{said}."
    return f"{said}; {short:,} of them are too short to be looked for: rows may hold those."


def _counts(title: str, counts: Mapping[str, int], texts: Mapping[str, str]) -> list[str]:
    if not counts:
        return []
    lines = ["", f"## {title}", "", "| | Rows | |", "|---|--:|---|"]
    return lines + [f"| `{name}` | {count:,} | {texts[name]} |" for name, count in _by_count(counts)]


def _sources(report: CleanReport) -> list[str]:
    if not report.sources:
        return []
    lines = ["", "## Sources", "", "| Source | Read | Kept | Rejected for |", "|---|--:|--:|---|"]
    for source, counts in sorted(report.sources.items()):
        reasons = ", ".join(f"{name} {count:,}" for name, count in _by_count(counts.rejected))
        read = counts.kept + sum(counts.rejected.values())
        lines.append(f"| {_cell(source)} | {read:,} | {counts.kept:,} | {reasons or 'nothing'} |")
    return lines


def _kept(report: CleanReport) -> list[str]:
    if not report.kept:
        return []
    lines = ["", "## Rows kept", "", "| Category | Rows |", "|---|--:|"]
    lines += [f"| {name or 'none'} | {count:,} |" for name, count in _by_count(report.categories)]
    lines += ["", "| Licence | Rows | Commercial use | May be passed on |", "|---|--:|---|---|"]
    for licence, count in _by_count(report.licences):
        commercial = "yes" if allows_commercial_use(licence) else "no" if licence else "not known"
        passed = "not known" if not licence else "yes" if may_be_passed_on(licence) else "no"
        lines.append(f"| {_cell(licence) or 'none named'} | {count:,} | {commercial} | {passed} |")
    lines += ["", f"| Characters | {' | '.join(PERCENTILES)} |", "|---|--:|--:|--:|--:|"]
    for field, values in report.lengths.items():
        lines.append(f"| {field} | {' | '.join(f'{values[name]:,}' for name in PERCENTILES)} |")
    return lines


def _samples(shown: Mapping[str, list[ShownRow]]) -> list[str]:
    lines = []
    for name, samples in shown.items():
        lines += ["", f"### `{name}`"]
        for sample in samples:
            detail = f": {_code(sample.detail)}" if sample.detail else ""
            lines += ["", f"- {_cell(sample.file)}, line {sample.line}{detail}"]
            lines += [f"  - {field}: {_code(text)}" for field, text in sample.texts.items()]
    return lines


def _plot(report: CleanReport, directory: Path) -> None:
    from matplotlib.figure import Figure

    counts = _by_count(report.rejected)[::-1]
    figure = Figure(figsize=(8, 1.2 + 0.3 * max(1, len(counts))), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh([name for name, _ in counts], [count for _, count in counts], color="#c0504d")
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_title(f"Rejected: {report.read - report.kept:,} of {report.read:,} rows")
    axes.set_xlabel("rows")
    axes.margins(x=0.12)
    figure.savefig(directory / "rejected.png", dpi=120)

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    for field in FIELDS:
        if field in report.histograms:
            axes.plot(report.histograms[field], marker="o", label=field)
    longest = max((len(values) for values in report.histograms.values()), default=1)
    axes.set_xticks(range(longest), [f"{1 << power:,}" for power in range(longest)])
    axes.set_xlabel("characters, from")
    axes.set_ylabel("rows kept")
    axes.set_title("Lengths")
    if report.histograms:
        axes.legend()
    figure.savefig(directory / "lengths.png", dpi=120)


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "0%"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    """Text of a row as it is: no part of it may act as Markdown."""
    shown = text.replace("\r", "␍").replace("\n", "⏎")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    blank = " " if longest or not shown.strip() else ""
    return f"{fence}{blank}{shown}{blank}{fence}"
