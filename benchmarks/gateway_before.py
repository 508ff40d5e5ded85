"""What a gateway of this checkout costs beside one of another, say of the commit before a change.

python benchmarks/gateway_before.py DIR [--pairs 24] [--json FILE]

Both run at the same time, in front of one instant engine, as users run them (see gateway.py), and are asked
in turn, a second each, so that both meet the same moments of the machine. A figure is the median over the
pairs of the other's CPU as a multiple of ours, with the interval that holds the true median in 95 of 100
cases. The exit status is 1 where ours is dearer: where the whole interval lies below 1. Needs Linux, two
cores and `wrk`.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.gateway_loads import Row, load, paced, wait_until_whole  # noqa: E402
from benchmarks.gateways import Target, engine, ours  # noqa: E402

Load = Callable[[str, Target, Path], Row]
SECOND_S = 1.0


@dataclass(frozen=True)
class Pairs:
    """One load: the CPU of a request in microseconds, of ours and of the other in turn."""

    load: str
    cpu_us: list[tuple[float, float]]
    failed: int

    @property
    def ratios(self) -> list[float]:
        """The other's CPU as a multiple of ours, in rising order."""
        return sorted(other / mine for mine, other in self.cpu_us)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the median, at 95%: order statistics by the normal approximation of the sign test."""
        count = len(self.cpu_us)
        lowest = max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2))
        return self.ratios[lowest], self.ratios[count - 1 - lowest]


def fast(clients: int, stream: bool, tokens: int) -> Load:
    """As fast as it answers."""
    return lambda name, target, tmp: load(name, target, tmp, clients, stream, tokens, SECOND_S)


def slow(name: str, target: Target, _tmp: Path) -> Row:
    """At an engine's pace."""
    return paced(name, target, 256, 64)


def compare(other: Path, gap_ms: float, loads: list[Load], pairs: int) -> list[Pairs]:
    """All loads of one engine, one after the other."""
    found = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        folders = {name: Path(folder, name) for name in ("engine", "ours", "other")}
        for path in folders.values():
            path.mkdir()
        url = stack.enter_context(engine(folders["engine"], gap_ms))
        targets = {
            name: stack.enter_context(ours(url, folders[name], folders[name], checkout))
            for name, checkout in (("ours", ROOT), ("other", other))
        }
        for name, target in targets.items():
            wait_until_whole(name, target, True, 4, folders[name])
        for measure in loads:
            rows: dict[str, list[Row]] = {"ours": [], "other": []}
            for number in range(pairs + 1):
                for name in sorted(targets, reverse=number % 2 == 1):
                    rows[name].append(measure(name, targets[name], folders[name]))
            both = list(zip(rows["ours"], rows["other"], strict=True))
            measured = both[1:]  # the first pair is the warm-up
            found.append(
                Pairs(
                    both[0][0].load,
                    [(mine.cpu_us, its.cpu_us) for mine, its in measured],
                    sum(mine.failed + its.failed for mine, its in both),
                )
            )
            show(found[-1])
    return found


def show(pairs: Pairs) -> None:
    """One line."""
    mine, its = (statistics.median(each) for each in zip(*pairs.cpu_us, strict=True))
    low, high = pairs.interval
    print(
        f"{pairs.load:36}{mine:8.0f} us{its:8.0f} us before   before = "
        f"{statistics.median(pairs.ratios):.3f} of ours ({low:.3f}-{high:.3f}), {pairs.failed} failed, "
        f"load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> int:
    """Entry point."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("other", type=Path, metavar="DIR")
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    other = args.other.resolve(strict=True)
    at_once = [fast(64, False, 16), fast(1, False, 16), fast(64, True, 64)]
    found = compare(other, 0, at_once, args.pairs) + compare(other, 20, [slow], args.pairs)
    if args.json:
        data = [{"load": each.load, "cpu_us": each.cpu_us, "failed": each.failed} for each in found]
        args.json.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    return int(any(each.interval[1] < 1 or each.failed for each in found))


if __name__ == "__main__":
    sys.exit(main())
