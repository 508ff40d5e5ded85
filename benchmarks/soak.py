"""What stays behind in a gateway when clients come and go for long, one in ten without waiting for the end.

python benchmarks/soak.py [--minutes 10 | --hours 8] [--clients 64] [--cancel 0.1] [--json FILE]

Clients stream, ask plainly, and cancel at a random moment (before the first token, between two, near the
end); half of them come with a new connection each time. Prints the gateway's memory and open files and the
slope of both by least squares, the first fifth left out; ends with 1 when one of them grows or a request is
lost. Needs Linux.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from tests.support.gateway_stack import TOKEN, controller_and_gateway, member, model_ids  # noqa: E402
from tests.support.load import new_client, stream  # noqa: E402
from tests.support.processes import script, scripted_engine, wait_for  # noqa: E402

LOOK_EVERY_S = 2.0
FLAT_KB_PER_HOUR = 2048.0
FLAT_FILES_PER_HOUR = 10.0
SLACK_KB, SLACK_FILES = 512.0, 4.0
"""What a slope may add up to over the run and still be noise: in a short run the allocator's steps and a
connection more or less make a steep line."""
MODEL = "dolly"


@dataclass
class Soak:
    """What was seen."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    resident_kb: list[float] = field(default_factory=list)
    open_files: list[float] = field(default_factory=list)

    def look(self, pid: int, began: float) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        self.seconds.append(time.monotonic() - began)
        self.resident_kb.append(float(status.partition("VmRSS:")[2].split()[0]))
        self.open_files.append(float(len(list(Path(f"/proc/{pid}/fd").iterdir()))))

    def settled(self) -> tuple[list[float], list[float], list[float]]:
        """Seconds, memory and files after the first fifth, in which pools and caches fill."""
        first = next(i for i, second in enumerate(self.seconds) if second >= self.seconds[-1] / 5)
        return self.seconds[first:], self.resident_kb[first:], self.open_files[first:]


async def ask(url: str, client: httpx2.AsyncClient, rng: random.Random, cancel: float, soak: Soak) -> None:
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [{"role": "user", "content": f"질문 {rng.randrange(1_000_000)}"}],
        "max_tokens": rng.choice((1, 8, 32)),
    }
    if rng.random() < cancel:
        try:
            async with asyncio.timeout(rng.random() * 0.05):
                await stream(client, url, body)
            soak.outcomes["complete"] += 1
        except TimeoutError:
            soak.outcomes["cancelled"] += 1
    elif rng.random() < 0.3:
        try:
            answer = await client.post(f"{url}/v1/chat/completions", json=body)
            end = "complete" if answer.status_code == 200 else f"status {answer.status_code}"
        except httpx2.HTTPError as error:
            end = type(error).__name__
        soak.outcomes[end] += 1
    else:
        soak.outcomes[(await stream(client, url, body)).end] += 1


async def run(url: str, pid: int, seconds: float, clients: int, cancel: float, seed: int) -> Soak:
    soak, began = Soak(), time.monotonic()
    end = began + seconds

    async def one(number: int) -> None:
        rng = random.Random(f"{seed}-{number}")
        if number % 2:
            async with new_client(1) as client:
                while time.monotonic() < end:
                    await ask(url, client, rng, cancel, soak)
        while time.monotonic() < end:
            async with new_client(1) as client:
                await ask(url, client, rng, cancel, soak)

    async def watch() -> None:
        while time.monotonic() < end:
            soak.look(pid, began)
            left = f"{(end - time.monotonic()) / 60:.1f} min left"
            print(
                f"\r{sum(soak.outcomes.values()):,} requests, {soak.resident_kb[-1] / 1024:.1f} MB, "
                f"{soak.open_files[-1]:.0f} files, {left}   ",
                end="",
                file=sys.stderr,
            )
            await asyncio.sleep(LOOK_EVERY_S)

    await asyncio.gather(watch(), *(one(number) for number in range(clients)))
    print(file=sys.stderr)
    return soak


def in_flight(url: str) -> float:
    page = httpx2.get(f"{url}/metrics", trust_env=False).text
    lines = [line for line in page.splitlines() if line.startswith("kodolly_gateway_upstream_in_flight{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def report(soak: Soak, left_in_flight: float) -> bool:
    """Print the figures; True when nothing grew and nothing was lost."""
    seconds, memory, files = soak.settled()
    hours = (seconds[-1] - seconds[0]) / 3600
    kb = statistics.linear_regression(seconds, memory).slope * 3600
    opened = statistics.linear_regression(seconds, files).slope * 3600
    print(f"requests        {sum(soak.outcomes.values()):,}: {dict(soak.outcomes.most_common())}")
    print(f"memory          {memory[0] / 1024:.1f} MB -> {memory[-1] / 1024:.1f} MB, slope {kb:+.0f} KB/h")
    print(f"open files      {files[0]:.0f} -> {files[-1]:.0f}, slope {opened:+.1f}/h")
    print(f"left in flight  {left_in_flight:.0f}")
    lost = set(soak.outcomes) - {"complete", "cancelled"}
    flat = kb < FLAT_KB_PER_HOUR or kb * hours < SLACK_KB
    closed = opened < FLAT_FILES_PER_HOUR or opened * hours < SLACK_FILES
    return flat and closed and not lost and left_in_flight == 0


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=10.0)
    length.add_argument("--hours", type=float)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--cancel", type=float, default=0.1, help="share of the requests that are cancelled")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    seconds = args.hours * 3600 if args.hours else args.minutes * 60
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        tmp = Path(folder)
        env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp / "state")}
        controller, gateway, process = stack.enter_context(controller_and_gateway(tmp, env))
        for number in range(2):
            engine = stack.enter_context(scripted_engine(tmp, MODEL))
            script(engine, gap_s=0.001)
            stack.enter_context(member(controller, engine, f"worker-{number}", MODEL).kept())
        wait_for(lambda: model_ids(gateway) == [MODEL], 20, what="the model")
        soak = asyncio.run(run(gateway, process.pid, seconds, args.clients, args.cancel, args.seed))
        wait_for(lambda: in_flight(gateway) == 0, 20, what="the last requests to end")
        fine = report(soak, in_flight(gateway))
    if args.json:
        args.json.write_text(json.dumps(asdict(soak), ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
