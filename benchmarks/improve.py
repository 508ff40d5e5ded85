"""What a turn of the loop is worth: simulated people judge answers, `kodolly improve` learns from them.

python benchmarks/improve.py [--state DIR] [--turns 1] [--seed 1]

demo-dolly, which was taught some everyday questions first (improve_everyday.py), answers others like them,
and some on things it was not taught. The raters (improve_raters.py
has their rule) rate and correct the answers through a gateway; `kodolly improve --no-deploy` takes its turn
on that: rows, training, merge, gates. Then the raters vote blind between sampled answers of both checkpoints,
and the decision is the loop's. Printed is also how both checkpoints' greedy answers compare by the rule
without errors: a win is a right answer where the other's is wrong, a tie half a win. The style is compared on
everyday questions that nobody judged, and apart on questions of other kinds, to which four million
parameters have no answer but pieces of what they were taught.

The checkpoints answer in this process, no engine runs: canaries, promotion and streams meanwhile are what
tests/test_kodolly_canary.py looks at. A run that was broken off goes on with the same --state.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from common.openmp import let_waiting_threads_sleep  # noqa: E402

let_waiting_threads_sleep()

from benchmarks.improve_everyday import checkpoint_that_answers  # noqa: E402
from benchmarks.improve_raters import (  # noqa: E402
    OTHERS,
    RATED,
    STRANGE,
    TURNS,
    UNSEEN,
    Fact,
    Rater,
    Talk,
    Turn,
    polite,
)
from common.checkpoint_identity import checkpoint_id  # noqa: E402
from common.registry import ModelCard  # noqa: E402
from finetune.data.stored_feedback import parse_feedback  # noqa: E402
from finetune.demo.build import build_demo, demo_directories  # noqa: E402
from finetune.progress import terminal_report  # noqa: E402
from kodolly.clients.feedback_pages import fetch_feedback  # noqa: E402
from kodolly.improve.canary import decision  # noqa: E402
from kodolly.improve.journal import Journal, journals  # noqa: E402
from tests.support.processes import kodolly  # noqa: E402
from tests.support.stack_in_process import InProcess, in_process  # noqa: E402

DEMO = ROOT / ".kodolly" / "e2e" / "demo"
ROWS = ROOT / "finetune" / "demo" / "rows.jsonl"
NAME = "dolly"
RATERS = 12
OLD_ROWS = 60
MAX_TOKENS = 48


@dataclass(frozen=True)
class Answers:
    """Of one checkpoint, greedy, to everything that is compared."""

    rated: list[bool]
    unseen: list[bool]
    style: list[bool]
    strange: list[bool]
    old_rows: list[float]


class Asked:
    """A checkpoint that answers."""

    def __init__(self, directory: Path) -> None:
        from finetune.eval.checkpoint_model import CheckpointModel

        self.identity = checkpoint_id(directory)
        self._model = CheckpointModel(directory)

    def answers(self, questions: Sequence[str], temperature: float = 0.0) -> list[dict[str, Any]]:
        """As a client tells the gateway of them."""
        conversations = [[{"role": "user", "content": question}] for question in questions]
        made = self._model.answers(conversations, MAX_TOKENS, temperature)
        sampling = {"temperature": temperature, "top_p": 1.0, "max_tokens": MAX_TOKENS}
        given = {"model": NAME, "sampling": sampling, "checkpoint": self.identity}
        return [
            given
            | {"messages": asked, "answer": answer.text}
            | {"finish_reason": "stop" if answer.finished else "length"}
            for asked, answer in zip(conversations, made, strict=True)
        ]

    def compared(self, facts: Sequence[Fact]) -> Answers:
        """Everything."""
        from finetune.eval.korquad import character_f1

        rows = old_rows()
        old = self._texts([row["instruction"] for row in rows])
        return Answers(
            self._right(facts, RATED),
            self._right(facts, UNSEEN),
            self.style(),
            [polite(text) for text in self._texts(STRANGE)],
            [character_f1(text, [row["response"]]) for text, row in zip(old, rows, strict=True)],
        )

    def style(self) -> list[bool]:
        """Which of the other prompts it answers politely."""
        return [polite(text) for text in self._texts([other.question for other in OTHERS])]

    def _right(self, facts: Sequence[Fact], phrasings: Sequence[str]) -> list[bool]:
        asked = [(fact, phrasing.format(fact.country)) for fact in facts for phrasing in phrasings]
        texts = self._texts([question for _, question in asked])
        return [fact.knows(text) for (fact, _), text in zip(asked, texts, strict=True)]

    def _texts(self, questions: Sequence[str]) -> list[str]:
        return [one["answer"] for one in self.answers(questions)]


@dataclass(frozen=True)
class People:
    """They tell the gateway what they think."""

    stack: InProcess
    raters: list[Rater]

    def rate(self, asked: Asked, turn: Turn) -> None:
        """Each question is judged by somebody; of a quarter of them two answers are compared."""
        pairs = turn.asked()
        given = asked.answers([question for _, question in pairs], 0.7)
        for n, ((about, _), body) in enumerate(zip(pairs, given, strict=True)):
            rater = self.raters[n % len(self.raters)]
            self._say("ratings", rater, rater.opinion(about, body["answer"]) | {"answer": body})
        compared = pairs[::4]
        one, other = (asked.answers([question for _, question in compared], 0.9) for _ in range(2))
        self._vote([about for about, _ in compared], one, other)

    def vote_between(self, old: Asked, new: Asked, facts: Sequence[Fact]) -> None:
        """Blind, on every phrasing, seen before or not."""
        pairs = [(fact, phrasing.format(fact.country)) for fact in facts for phrasing in RATED + UNSEEN]
        random.Random(0).shuffle(pairs)
        one, other = (asked.answers([question for _, question in pairs], 0.7) for asked in (old, new))
        self._vote([fact for fact, _ in pairs], one, other)

    def _vote(
        self, asked: Sequence[Fact | Talk], one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]
    ) -> None:
        for n, (about, *sides) in enumerate(zip(asked, one, other, strict=True)):
            rater = self.raters[n % len(self.raters)]
            left, right = rater.rng.sample(sides, 2)
            choice = rater.choice(about, left["answer"], right["answer"])
            self._say("votes", rater, {"choice": choice, "left": left, "right": right, "blind": True})

    def _say(self, kind: str, rater: Rater, body: dict[str, Any]) -> None:
        told = body | {"rater_id": rater.name, "locale": "ko"}
        self.stack.put(f"/v1/feedback/{kind}/{uuid.uuid4()}", told).raise_for_status()


def old_rows() -> list[dict[str, Any]]:
    """Rows without context that the demo model knows."""
    rows = [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()]
    plain = [row for row in rows if not row["context"] and not row.get("history")]
    return random.Random(0).sample(plain, OLD_ROWS)


def win_rate(old: Sequence[bool], new: Sequence[bool]) -> float:
    """Of the new answers; a tie is half a win."""
    points = [0.5 if was == now else float(now) for was, now in zip(old, new, strict=True)]
    return sum(points) / len(points)


@contextmanager
def serving(stack: InProcess, checkpoint: Path) -> Iterator[None]:
    """What the gateway takes for a worker with this checkpoint."""
    card = ModelCard(name=NAME, checkpoint=checkpoint_id(checkpoint))
    with stack.worker(f"w-{uuid.uuid4()}", card).member.kept():
        yield


def take_turn(people: People, state: Path, checkpoint: Path, turn: Turn, first: Sequence[bool]) -> Path:
    """One turn of the loop; the checkpoint that answers afterwards. `first`: which of the other prompts the
    first checkpoint answers politely."""
    old, rated = Asked(checkpoint), state / f"rated-{checkpoint_id(checkpoint)}"
    if not rated.exists():
        people.rate(old, turn)
        rated.touch()
    journal = taken(state, old.identity)
    if journal is None:
        with serving(people.stack, checkpoint):
            improved(people.stack, state, checkpoint)
        journal = taken(state, old.identity)
    if journal is None:
        sys.exit("The turn is not over; its log lies in the state directory.")
    latest, content = journal.directory, journal.content
    new = Asked(latest / "checkpoint")
    before, after = old.compared(turn.facts), new.compared(turn.facts)
    show(before, after)
    print(f"{'style since the first':24} win rate {win_rate(first, after.style):4.0%}")
    wall = content.at["end"] - content.begun
    print(f"{'turn, wall time':24} {content.decision} ({content.exit_code}), {wall:.0f} s", flush=True)
    for gate in content.steps["gates"]:
        print(f"{'gate ' + gate['name']:24} {gate['words']}", flush=True)
    people.vote_between(old, new, turn.facts)
    votes = parse_feedback(fetch_feedback(people.stack.gateway, "votes"), []).votes
    seen = range(1, len(votes) + 1)
    looks = [decision(votes[:n], new.identity, old.identity) for n in seen]
    decided = next((look for look in looks if look.winner is not None), looks[-1])
    word = {1: "promoted", -1: "withdrawn", None: "not decided"}[decided.winner]
    print(f"{'blind votes':24} {word} after {decided.votes}, of which it won {decided.share.value:.0%}\n")
    return latest / "checkpoint" if content.decision != "refused" and decided.winner == 1 else checkpoint


def taken(state: Path, identity: str) -> Journal | None:
    """The turn that this checkpoint was improved by, once it is over."""
    over = [one for one in journals(state / "runs", NAME) if one.content.plan.checkpoint == identity]
    return over[-1] if over and over[-1].content.decision else None


def improved(stack: InProcess, state: Path, checkpoint: Path) -> None:
    """Let the command take its turn, and print what it says."""
    words = ["improve", NAME, "--no-deploy", "--checkpoint", str(checkpoint), "--replay", str(ROWS)]
    ran = subprocess.run(
        kodolly(*words, "--gateway", stack.gateway), cwd=state, env=os.environ, capture_output=True, text=True
    )
    print(ran.stdout + ran.stderr, flush=True)


def show(before: Answers, after: Answers) -> None:
    """The figures of a turn."""
    for what, old, new in (
        ("prompts with feedback", before.rated, after.rated),
        ("phrasings without", before.unseen, after.unseen),
        ("style on other prompts", before.style, after.style),
        ("where it knows nothing", before.strange, after.strange),
    ):
        rate = win_rate(old, new)
        print(f"{what:24} win rate {rate:4.0%}   right or polite: {sum(old)} -> {sum(new)} of {len(new)}")
    was, now = (sum(one.old_rows) / len(one.old_rows) for one in (before, after))
    print(f"{'earlier rows':24} F1 {was:.3f} -> {now:.3f}")


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--turns", type=int, choices=(1, 2), default=1, help="each on top of the one before")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, help="Directory that is kept, for a run in several parts.")
    args = parser.parse_args()
    build_demo(DEMO, terminal_report())
    with tempfile.TemporaryDirectory() as folder:
        state = (args.state or Path(folder)).resolve()
        state.mkdir(parents=True, exist_ok=True)
        checkpoint = checkpoint_that_answers(demo_directories(DEMO)[0], ROWS, state / "first")
        with in_process(state / "gateway", log_level="warning") as stack:
            first = Asked(checkpoint).style()
            for n, turn in enumerate(TURNS[: args.turns], 1):
                print(f"turn {n}", flush=True)
                raters = [Rater(f"rater {m}", random.Random(args.seed * 1000 + m)) for m in range(RATERS)]
                checkpoint = take_turn(People(stack, raters), state, checkpoint, turn, first)


if __name__ == "__main__":
    main()
