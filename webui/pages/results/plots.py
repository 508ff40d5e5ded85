"""Small plots as inline SVG, in the colours of the page. They repeat what a table says, so no reader of
screens reads them."""

from collections.abc import Sequence

from common.leaderboard.intervals import Interval

WIDTH, HEIGHT = 160, 18
TREND_WIDTH, TREND_HEIGHT, EDGE = 480, 140, 12


def interval_plot(one: Interval, among: Sequence[Interval]) -> str:
    """A point with its interval, on the scale that all of `among` share."""
    low, high = _ends(among)
    left, middle, right = (_place(value, low, high, WIDTH) for value in (one.low, one.value, one.high))
    y = HEIGHT / 2
    return (
        f'<svg class="kd-plot" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f'<line class="kd-axis" x1="0" y1="{y}" x2="{WIDTH}" y2="{y}"/>'
        f'<line class="kd-bar" x1="{left:.1f}" y1="{y}" x2="{right:.1f}" y2="{y}"/>'
        f'<circle class="kd-dot" cx="{middle:.1f}" cy="{y}" r="4"/></svg>'
    )


def trend_plot(spans: Sequence[Interval]) -> str:
    """Strengths from the first checkpoint to the last; nothing for fewer than two."""
    if len(spans) < 2:
        return ""
    low, high = _ends(spans)
    step = (TREND_WIDTH - 2 * EDGE) / (len(spans) - 1)
    points = [(EDGE + at * step, one) for at, one in enumerate(spans)]

    def y(value: float) -> float:
        return TREND_HEIGHT - _place(value, low, high, TREND_HEIGHT)

    line = " ".join(f"{x:.1f},{y(one.value):.1f}" for x, one in points)
    bars = "".join(
        f'<line class="kd-bar" x1="{x:.1f}" y1="{y(one.low):.1f}" x2="{x:.1f}" y2="{y(one.high):.1f}"/>'
        f'<circle class="kd-dot" cx="{x:.1f}" cy="{y(one.value):.1f}" r="4"/>'
        for x, one in points
    )
    return (
        f'<svg class="kd-plot kd-trend" viewBox="0 0 {TREND_WIDTH} {TREND_HEIGHT}" aria-hidden="true">'
        f'<polyline class="kd-line" points="{line}"/>{bars}</svg>'
    )


def _ends(spans: Sequence[Interval]) -> tuple[float, float]:
    return min(one.low for one in spans), max(one.high for one in spans)


def _place(value: float, low: float, high: float, width: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return EDGE / 2 + min(max(share, 0.0), 1.0) * (width - EDGE)
