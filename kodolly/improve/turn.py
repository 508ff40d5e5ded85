"""A turn's steps in their order, and the lock that lets one process at a time take them."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from common.errors import UserError
from common.improvement import Decision, Step
from finetune.files.whole import whole_directory
from finetune.improve.gates import EXIT_CODES, Gate, first_refusal
from finetune.improve.method import recipe_values
from finetune.improve.rows import LABELLED, PAIRS, ROWS
from kodolly.clients.feedback_pages import mark_used
from kodolly.improve import canary, training
from kodolly.improve.journal import Journal, Options, new_journal, next_directory, read_journal
from kodolly.improve.plan import Prepared
from kodolly.improve.report import write_report
from kodolly.improve.telling import tell_gateway
from kodolly.operate.canary import Site
from kodolly.operate.deploy import Say

LOCK_WAIT_S = 30.0
WAITING = 4
"""Exit code: the canary is served, and people have not decided yet."""
DATA = {"lora": ROWS, "dpo": PAIRS, "kto": LABELLED}


@dataclass(frozen=True)
class Taking:
    """Options of one call that takes a turn's steps."""

    site: Site | None
    """None where nothing is deployed."""
    say: Say
    wait: bool
    """Whether to wait for people's votes; otherwise the next call goes on."""
    lock: int


def begin(prepared: Prepared, options: Options, runs: Path) -> Journal:
    """The turn's directory with rows, recipe and journal, whole or not at all. Raises UserError."""
    target = next_directory(runs)
    plan = prepared.plan
    name = f"{target.name}-{''.join(c if c.isascii() and c.isalnum() else '-' for c in plan.name)}"
    with whole_directory(target) as directory:
        prepared.rows.write(directory)
        data = DATA[prepared.choice.method]
        values = recipe_values(prepared.card, plan.base, name, prepared.choice, data, prepared.rows.counts())
        # JSON is YAML, and has one way to write each value.
        recipe = json.dumps(values, ensure_ascii=False, indent=1) + "\n"
        (directory / training.RECIPE).write_text(recipe, encoding="utf-8")
        new_journal(directory, plan, options)
    return read_journal(target)


def take(journal: Journal, taking: Taking) -> int:
    """All steps that are left, up to the decision; the exit code. Raises UserError: calling again goes on."""
    steps: dict[Step, Callable[[], object]] = {
        "train": lambda: training.train(journal, taking.lock),
        "merge": lambda: training.merge(journal, taking.lock),
        "measure": lambda: training.measure(journal, taking.lock),
        "gates": lambda: [asdict(gate) for gate in training.judged(journal)],
    }
    for step, run in steps.items():
        if step not in journal.content.steps:
            taking.say(f"{journal.directory.name}: {step}")
            tell_gateway(journal, step, taking.say)
            journal.done(step, run())
    found = [Gate(**gate) for gate in journal.content.steps["gates"]]
    for gate in found:
        taking.say(f"{_mark(gate)} {gate.name}: {gate.words}")
    refused = first_refusal(found)
    if refused is not None:
        words = f"gate {refused.name}: {refused.words}"
        return _end(journal, taking, "refused", EXIT_CODES[refused.name], words)
    if taking.site is None:
        return _end(journal, taking, "ready", 0, "every gate is passed")
    return _among_people(journal, taking, taking.site)


def _among_people(journal: Journal, taking: Taking, site: Site) -> int:
    content = journal.content
    if "canary" not in content.steps:
        tell_gateway(journal, "canary", taking.say)
        canary.start(journal, site)
        journal.done("canary", canary.canary_of(journal))
    if "votes" not in content.steps:
        tell_gateway(journal, "votes", taking.say)
        verdict = canary.watch(journal, site, wait=taking.wait)
        if verdict is None:
            return WAITING
        journal.done("votes", asdict(verdict))
    verdict = canary.CanaryVerdict(**content.steps["votes"])
    if "settle" not in content.steps:
        canary.settle(journal, site, verdict)
        if verdict.promote:
            mark_used(
                content.plan.gateway, journal.directory.name, content.plan.used, set(content.plan.votes)
            )
        journal.done("settle", verdict.promote)
    decision: Decision = "promoted" if verdict.promote else "withdrawn"
    return _end(journal, taking, decision, verdict.exit_code, verdict.words)


def _end(journal: Journal, taking: Taking, decision: Decision, exit_code: int, words: str) -> int:
    write_report(journal, decision, words)
    journal.end(decision, exit_code, words)
    tell_gateway(journal, None, taking.say)
    return exit_code


def _mark(gate: Gate) -> str:
    return {True: "passed", False: "NOT PASSED", None: "not measured"}[gate.passed]


@contextmanager
def lock_of(runs: Path) -> Iterator[int]:
    """The turns below `runs` belong to this process and its children, as long as one of them lives. Raises
    UserError."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(runs / ".improve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UserError(f"No turn can be kept in {runs}: {error.strerror}.") from error
    try:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise UserError(
                        f"Another `kodolly improve` works in {runs} just now.", hint="Wait for it."
                    ) from error
                time.sleep(0.2)
        yield descriptor
    finally:
        os.close(descriptor)
