"""What clients of a model feel while a turn of the loop trains beside it, and exchanges it.

python benchmarks/improve_serving.py [--clients 2] [--pause 0.5] [--quiet 20] [--rows 120]

All on one machine: a controller, a gateway, demo-dolly on vLLM's CPU build with one thread, clients that
stream answers of 48 tokens and rest a little after each, and `kodolly improve`: the raters of
improve_raters.py have judged 80 answers, it trains on that and on `--rows` earlier rows, merges, measures,
lets the result answer half of the clients on an engine of its own, and the raters vote blind between both
until it promotes the new one or takes it away.

Printed is, for each part of it, how long clients waited for the first token and between two tokens, and how
many streams broke. Exit code 1 where a stream broke, the turn ended in no promotion, or clients waited longer
than AIM says.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.improve import DEMO, MAX_TOKENS, NAME, RATERS, ROWS  # noqa: E402
from benchmarks.improve_raters import RATED, TURNS, UNSEEN, Fact, Rater  # noqa: E402
from finetune.demo.build import build_demo, demo_directories  # noqa: E402
from finetune.progress import terminal_report  # noqa: E402
from kodolly.improve.journal import Journal, journals  # noqa: E402
from tests.support.load import Outcome, new_client, stream  # noqa: E402
from tests.support.operator_stack import Cluster, cluster  # noqa: E402
from tests.support.processes import kodolly  # noqa: E402

AIM = 2.0
"""The median pause between two tokens in any part of the turn, as a multiple of that before it."""
SHARE = 50
"""Percent of the people whom the canary answers."""
SAMPLING = {"temperature": 0.7, "top_p": 1.0, "max_tokens": MAX_TOKENS}


@dataclass(frozen=True)
class Felt:
    """One streamed answer as its client saw it; Unix seconds."""

    begun: float
    tokens: Sequence[float]
    outcome: Outcome


@dataclass
class Part:
    """A stretch of time, and what clients felt in it, in seconds."""

    name: str
    begun: float
    ended: float
    first: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    broken: int = 0

    def add(self, felt: Felt) -> None:
        """Count what of it falls into this part."""
        if self.begun <= felt.begun < self.ended:
            self.broken += felt.outcome.end != "complete"
            self.first += [felt.tokens[0] - felt.begun] if felt.tokens else []
        pairs = zip(felt.tokens, felt.tokens[1:], strict=False)
        self.between += [now - before for before, now in pairs if self.begun <= now < self.ended]

    def line(self) -> str:
        """Its row of the table."""
        figures = "".join(f"{at(self.first, q):10.0f}" for q in (50, 99))
        figures += "".join(f"{at(self.between, q):10.0f}" for q in (50, 99))
        return f"{self.name:24}{self.ended - self.begun:6.0f}{len(self.first):9}{figures}{self.broken:8}"


def at(values: Sequence[float], percent: int) -> float:
    """A percentile in milliseconds; nan of fewer than two values."""
    if len(values) < 2:
        return float("nan")
    return 1000 * statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def clients(done: asyncio.Event, gateway: str, number: int, pause_s: float, felt: list[Felt]) -> None:
    """So many people who ask again and again, each about another question and under a name of their own."""

    async def ask(client: httpx2.AsyncClient, user: int) -> None:
        questions = random.Random(user)
        while not done.is_set():
            fact, phrasing = questions.choice(TURNS[0].facts), questions.choice(RATED)
            body: dict[str, object] = SAMPLING | {"model": NAME, "ignore_eos": True, "user": f"client {user}"}
            body["messages"] = [{"role": "user", "content": phrasing.format(fact.country)}]
            tokens: list[float] = []
            begun = time.time()
            outcome = await stream(client, gateway, body, lambda seen=tokens: seen.append(time.time()))  # type: ignore[misc]
            felt.append(Felt(begun, tokens, outcome))
            await asyncio.sleep(pause_s)

    async with new_client(number) as client:
        await asyncio.gather(*(ask(client, user) for user in range(number)))


@dataclass(frozen=True)
class People:
    """The raters, who see answers and never which checkpoint gave them."""

    client: httpx2.Client
    raters: Sequence[Rater]

    def rate(self, facts: Sequence[Fact]) -> None:
        """Each phrasing of each question is answered, and judged by somebody."""
        asked = [(fact, phrasing.format(fact.country)) for fact in facts for phrasing in RATED]
        for n, (fact, question) in enumerate(asked):
            rater, given = self.raters[n % len(self.raters)], self.answer(NAME, question, "a rater")
            self._say("ratings", rater, rater.opinion(fact, given["answer"]) | {"answer": given})

    def vote(self, facts: Sequence[Fact], old: str, over: Callable[[], bool]) -> None:
        """Compare the checkpoint `old` with the canary, until all is compared or it is `over`."""
        asked = [(fact, phrasing.format(fact.country)) for fact in facts for phrasing in RATED + UNSEEN]
        random.Random(0).shuffle(asked)
        user = next(
            user
            for user in map("rater {}".format, range(1000))
            if self.answer(NAME, "안녕?", user)["checkpoint"] == old
        )
        for n, (fact, question) in enumerate(asked):
            if over():
                return
            rater = self.raters[n % len(self.raters)]
            sides = [self.answer(model, question, user) for model in (NAME, f"{NAME}-canary")]
            left, right = rater.rng.sample(sides, 2)
            choice = rater.choice(fact, left["answer"], right["answer"])
            self._say("votes", rater, {"choice": choice, "left": left, "right": right, "blind": True})

    def answer(self, model: str, question: str, user: str) -> dict[str, Any]:
        """What the gateway gives, as a client tells it of it."""
        messages = [{"role": "user", "content": question}]
        body = SAMPLING | {"model": model, "messages": messages, "user": user}
        answered = self.client.post("/v1/chat/completions", json=body).raise_for_status()
        (choice,) = answered.json()["choices"]
        return {
            "model": model,
            "sampling": SAMPLING,
            "checkpoint": answered.headers["x-kodolly-checkpoint"],
            "messages": messages,
            "answer": choice["message"]["content"],
            "finish_reason": choice["finish_reason"],
        }

    def _say(self, kind: str, rater: Rater, body: dict[str, Any]) -> None:
        told = body | {"rater_id": rater.name, "locale": "ko"}
        self.client.put(f"/v1/feedback/{kind}/{uuid.uuid4()}", json=told).raise_for_status()


def turn(stack: Cluster, people: People, rows: Path) -> Journal:
    """One turn with its votes; the raters vote as soon as there is a canary."""
    words = ["improve", NAME, "--gateway", stack.gateway, "--replay", str(rows), "--share", str(SHARE)]
    with (stack.path / "improve.log").open("wb") as log:
        process = subprocess.Popen(
            kodolly(*words, *stack.controller_flags()),
            cwd=stack.path,
            env=os.environ | stack.env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                found = list(journals(stack.path / "runs"))
                if found and "canary" in found[0].content.steps:
                    old = found[0].content.plan.checkpoint
                    people.vote(TURNS[0].facts, old, lambda: process.poll() is not None)
                    break
                time.sleep(0.5)
            process.wait()
        finally:
            process.kill()
    print((stack.path / "improve.log").read_text(encoding="utf-8"), flush=True)
    found = list(journals(stack.path / "runs"))
    if not found:
        sys.exit("No turn was begun.")
    return found[0]


def parts(begun: float, started: float, journal: Journal, ended: float) -> list[Part]:
    """The turn's stretches of time, with those before and after it."""
    at_step = journal.content.at
    borders = [
        ("before", started),
        ("train, merge, measure", at_step.get("gates", ended)),
        ("canary starts", at_step.get("canary", ended)),
        ("votes", at_step.get("votes", ended)),
        ("promotion", at_step.get("end", ended)),
        ("after", ended),
    ]
    begins = [begun, *(end for _, end in borders)]
    return [Part(name, start, end) for (name, end), start in zip(borders, begins, strict=False)]


async def measured(stack: Cluster, people: People, args: argparse.Namespace) -> tuple[list[Part], Journal]:
    """The whole run under load."""
    rows = stack.path / "rows.jsonl"
    lines = ROWS.read_text(encoding="utf-8").splitlines(keepends=True)
    rows.write_text("".join(random.Random(0).sample(lines, min(args.rows, len(lines)))), encoding="utf-8")
    felt: list[Felt] = []
    done, begun = asyncio.Event(), time.time()
    load = asyncio.create_task(clients(done, stack.gateway, args.clients, args.pause, felt))
    try:
        await asyncio.sleep(args.quiet)
        started = time.time()
        journal = await asyncio.to_thread(turn, stack, people, rows)
        await asyncio.sleep(args.quiet)
        ended = time.time()
    finally:
        done.set()
        await load
    found = parts(begun, started, journal, ended)
    for part in found:
        for one in felt:
            part.add(one)
    return found, journal


def show(found: Sequence[Part], journal: Journal) -> bool:
    """Print the figures; whether the aim is met."""
    print(f"{'':39}  first token, ms     between tokens, ms")
    print(f"{'':24}{'s':>6}{'streams':>9}{'p50':>10}{'p99':>10}{'p50':>10}{'p99':>10}{'broken':>8}")
    print("\n".join(part.line() for part in found))
    slower = max(at(part.between, 50) for part in found[1:-1]) / at(found[0].between, 50)
    broken = sum(part.broken for part in found)
    decision = f"{journal.content.decision} ({journal.content.words})"
    print(f"{os.cpu_count()} cores; {decision}; {broken} streams broken")
    print(f"in the worst part tokens come {slower:.1f} times as slowly as before (aim: {AIM:.0f} at most)")
    return broken == 0 and slower <= AIM and journal.content.decision == "promoted"


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between a client's answers")
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds before and after the turn")
    parser.add_argument("--rows", type=int, default=120, help="earlier rows that are mixed in")
    args = parser.parse_args()
    build_demo(DEMO, terminal_report())
    raters = [Rater(f"rater {n}", random.Random(1000 + n)) for n in range(RATERS)]
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder), real_vllm=True) as stack:
        flags = stack.controller_flags()
        deployed = stack.command("deploy", NAME, str(demo_directories(DEMO)[1]), *flags)
        if deployed.returncode:
            sys.exit(deployed.stderr)
        try:
            with httpx2.Client(base_url=stack.gateway, trust_env=False, timeout=120) as client:
                people = People(client, raters)
                people.rate(TURNS[0].facts)
                met = show(*asyncio.run(measured(stack, people, args)))
        finally:
            for model in (NAME, f"{NAME}-canary"):
                stack.command("drain", model, *flags)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
