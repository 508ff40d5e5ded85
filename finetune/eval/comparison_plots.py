"""Bar charts with intervals, one for each metric: our models, beside published figures where there are
any."""

from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from finetune.eval.compare import ComparedFigure, ModelComparison

COLOURS = ("#8c96a3", "#1f6feb", "#d9730d", "#2da44e", "#8250df")
MOST_BARS = 0.8
"""Width of a task's bars together, as a share of the space between two tasks."""


def plot_comparison(comparison: "ModelComparison", directory: Path) -> list[Path]:
    """Draw one PNG for each metric and number of shots into `directory`; returns their paths."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    groups: dict[tuple[str, int | None], list[ComparedFigure]] = {}
    for row in comparison.rows:
        groups.setdefault((row.metric, row.shots), []).append(row)
    paths = []
    # The second font has the characters that the first one lacks, such as arrows and the minus sign.
    with rc_context({"font.family": [_korean_font(), "DejaVu Sans"]}):
        for (metric, shots), rows in groups.items():
            figure = Figure(figsize=(max(5.0, 1.8 * len(rows) + 2), 4.0), layout="constrained")
            _draw(figure.add_subplot(), rows, comparison.models, metric, shots)
            name = metric if shots is None else f"{metric}-{shots}-shot"
            paths.append(directory / f"{name}.png")
            figure.savefig(paths[-1], dpi=120)
    return paths


def _draw(
    axes: "Axes", rows: "list[ComparedFigure]", models: tuple[str, ...], metric: str, shots: int | None
) -> None:
    width = MOST_BARS / len(models)
    for place, model in enumerate(models):
        here = [(n, row.scores[model]) for n, row in enumerate(rows) if model in row.scores]
        values = [one.value for _, one in here]
        down = [max(0.0, one.value - one.low) for _, one in here]
        up = [max(0.0, one.high - one.value) for _, one in here]
        left = [n - MOST_BARS / 2 + (place + 0.5) * width for n, _ in here]
        axes.bar(left, values, width * 0.92, label=model, color=COLOURS[place % len(COLOURS)])
        axes.errorbar(left, values, yerr=[down, up], fmt="none", ecolor="#24292f", capsize=3, linewidth=1)
    _draw_published(axes, rows)
    axes.set_xticks(range(len(rows)), [row.task for row in rows])
    axes.set_ylabel(metric.replace("_", " "))
    axes.set_title("" if shots is None else f"{shots}-shot")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _draw_published(axes: "Axes", rows: "list[ComparedFigure]") -> None:
    """Draw a line for each published model across the bars of each task."""
    styles = ("dotted", "dashdot", "dashed", "solid")
    names = list(dict.fromkeys(name for row in rows for name in row.published))
    for name, style in zip(names, styles, strict=False):
        here = [(n, row.published[name]) for n, row in enumerate(rows) if name in row.published]
        axes.hlines(
            [value for _, value in here],
            [n - MOST_BARS / 2 for n, _ in here],
            [n + MOST_BARS / 2 for n, _ in here],
            colors="#24292f",
            linestyles=style,  # type: ignore[arg-type]
            linewidth=1,
            label=f"{name} (published)",
        )


def _korean_font() -> str:
    """The family of the Korean font that koreanize-matplotlib ships, registered with matplotlib.

    A server seldom has Korean fonts, and matplotlib's list of a machine's fonts is a cache that misses what
    was installed later, so plots bring their own. The package is not imported: its code changes matplotlib's
    settings for the whole process.
    """
    from matplotlib import font_manager

    package = util.find_spec("koreanize_matplotlib")
    if package is None or package.origin is None:
        raise UserError("Plots need koreanize-matplotlib.", hint="Install the extra `finetune`.")
    path = Path(package.origin).parent / "fonts" / "NanumGothic.ttf"
    font_manager.fontManager.addfont(path)
    return font_manager.FontProperties(fname=path).get_name()
