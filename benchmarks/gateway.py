"""What a gateway costs: ours and others in turn, in front of one instant engine, in one run.

python benchmarks/gateway.py [--only kodolly,vllm-router] [--quick] [--rounds 3] [--json FILE]

The gateway under test has core 1 to itself; engine and load generator share core 0. Ours runs as users run
it: key with limits, ledger, metrics, access log, workers from a real controller. CPU is that of all the
gateway's processes (/proc/PID/schedstat). Needs Linux, two cores and `wrk` (Debian's package).
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.gateway_loads import Row, load, memory_kb, paced, wait_until_whole  # noqa: E402
from benchmarks.gateways import GATEWAYS, engine  # noqa: E402
from benchmarks.peers import CACHE, peer_venv  # noqa: E402

Found = dict[tuple[str, str], dict[int, Row]]
"""By load and gateway: the rows by their round."""


def measure(name: str, cache: Path, seconds: float, full: bool) -> tuple[list[Row], float]:
    """All rows of one gateway in one round, and the memory of a stream (0 when not measured)."""
    rows, memory = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        with engine(tmp) as url, GATEWAYS[name](url, tmp, cache) as target:
            for stream, tokens in ((False, 16), (True, 64)):
                wait_until_whole(name, target, stream, tokens, tmp)
                load(name, target, tmp, 16, stream, tokens, 1)
                rows.append(load(name, target, tmp, 64, stream, tokens, seconds))
            if full:
                rows.append(load(name, target, tmp, 1, False, 16, seconds))
    if full:
        with tempfile.TemporaryDirectory() as folder:
            tmp = Path(folder)
            with engine(tmp, 20) as url, GATEWAYS[name](url, tmp, cache) as target:
                wait_until_whole(name, target, True, 4, tmp)
                paced(name, target, 16, 8)
                waves = [paced(name, target, 256, 64) for _ in range(3)]
                failed = sum(wave.failed for wave in waves)
                rows.append(replace(sorted(waves, key=lambda wave: wave.cpu_us)[1], failed=failed))
                if name not in ("direct", "fastchat"):
                    memory = memory_kb(target, 1000)
    return rows, memory


def main() -> None:
    """Entry point."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--only", default=",".join(GATEWAYS), help="gateways, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--quick", action="store_true", help="one round of 3 s without pacing and memory")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--cache", type=Path, default=CACHE, help="directory of the peers' environments")
    args = parser.parse_args()
    if shutil.which("wrk") is None or (os.cpu_count() or 1) < 2:
        parser.error("this needs `wrk` (Debian: apt install wrk) and two cores")
    names = args.only.split(",")
    for name in names:
        if name not in GATEWAYS:
            parser.error(f"unknown gateway {name!r}; there are {', '.join(GATEWAYS)}")
        if name not in ("direct", "kodolly"):
            peer_venv(name, args.cache)
    rounds, seconds = (1, 3.0) if args.quick else (args.rounds, args.seconds)
    found: Found = {}
    memory: dict[str, list[float]] = {}
    for number in range(rounds):
        for name in names:
            print(f"round {number + 1}: {name}, load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
            try:
                rows, kb = measure(name, args.cache, seconds, not args.quick)
            except AssertionError as error:
                print(f"{name} is left out of round {number + 1}: {error}", file=sys.stderr)
                continue
            for row in rows:
                found.setdefault((row.load, row.name), {})[number] = row
            if kb:
                memory.setdefault(name, []).append(kb)
    show(found, memory)
    if args.json:
        data = {
            "rows": [asdict(row) for rows in found.values() for row in rows.values()],
            "memory_kb": memory,
        }
        args.json.write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")


def show(found: Found, memory: dict[str, list[float]]) -> None:
    """Medians of the rounds, and each gateway's CPU as a multiple of ours with its spread over rounds."""
    last = ""
    for (kind, name), by_round in sorted(found.items(), key=lambda item: item[0][0]):
        rows = list(by_round.values())
        if kind != last:
            print(
                f"\n{kind}\n{'':16}{'CPU us':>9}{'x ours':>25}"
                f"{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}"
            )
            last = kind
        mine = found.get((kind, "kodolly"))
        ratio = ""
        if mine and name not in ("kodolly", "direct"):
            each = [row.cpu_us / mine[number].cpu_us for number, row in by_round.items() if number in mine]
            ratio = f"{statistics.median(each):.2f} ({min(each):.2f}-{max(each):.2f})"
        middle = [
            statistics.median(getattr(row, field) for row in rows)
            for field in ("cpu_us", "rps", "p50_ms", "p99_ms")
        ]
        failed = sum(row.failed for row in rows)
        print(
            f"{name:16}{middle[0]:9.0f}{ratio:>25}{middle[1]:9.0f}{middle[2]:9.2f}{middle[3]:9.2f}{failed:8d}"
        )
    for name, kbs in memory.items():
        print(f"memory of a waiting stream, {name}: {statistics.median(kbs):.1f} KB")


if __name__ == "__main__":
    main()
