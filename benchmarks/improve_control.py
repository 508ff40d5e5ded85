"""The loop's decision when people vote at random: how often is a checkpoint promoted that is no better?

python benchmarks/improve_control.py [--seeds 20] [--votes 300]

Nothing is trained: for each seed two names of checkpoints get blind votes, whose outcome a coin decides,
through a real gateway and its store. `kodolly improve`'s decision is taken anew after each vote, as if it
looked as often as it can. Beside it: what looking at a 95% interval after each vote would have promoted.
"""

import argparse
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from common.leaderboard.intervals import wilson  # noqa: E402
from finetune.data.stored_feedback import StoredVote, parse_feedback  # noqa: E402
from kodolly.clients.feedback_pages import fetch_feedback  # noqa: E402
from kodolly.improve.canary import decision  # noqa: E402
from tests.support.stack_in_process import in_process  # noqa: E402

OLD = "0123456789ab"
FIRST_LOOK = 20
"""Votes before which nobody would look at an interval."""
RATERS = 12


def vote_at_random(client: httpx2.Client, seed: int, votes: int) -> None:
    """So many people, each of whom sees either answer on either side."""
    rng = random.Random(seed)
    for n in range(votes):
        sides = [_answer("old", OLD, n), _answer("new", new_of(seed), n)]
        choice = rng.choice(("left", "right"))
        rng.shuffle(sides)
        body: dict[str, object] = {"choice": choice, "blind": True, "rater_id": f"rater {n % RATERS}"}
        body |= {"left": sides[0], "right": sides[1]}
        client.put(
            f"/v1/feedback/votes/{uuid.UUID(int=rng.getrandbits(128), version=4)}", json=body
        ).raise_for_status()


def _answer(text: str, checkpoint: str, n: int) -> dict[str, object]:
    asked = [{"role": "user", "content": f"question {n}"}]
    sampling = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 48}
    return {
        "model": "dolly",
        "sampling": sampling,
        "messages": asked,
        "answer": text,
        "checkpoint": checkpoint,
    }


def new_of(seed: int) -> str:
    """The id of the seed's new checkpoint."""
    return f"{seed:012x}"


def decided(votes: Sequence[StoredVote], seed: int) -> tuple[int | None, int]:
    """(1 promoted, -1 withdrawn, None neither; votes until then), looking after each vote."""
    for seen in range(1, len(votes) + 1):
        found = decision(votes[:seen], new_of(seed), OLD)
        if found.winner is not None:
            return found.winner, seen
    return None, len(votes)


def by_interval(votes: Sequence[StoredVote], seed: int) -> bool:
    """Whether an interval that is looked at after each vote would have promoted before it withdrew."""
    for seen in range(FIRST_LOOK, len(votes) + 1):
        found = decision(votes[:seen], new_of(seed), OLD)
        interval = wilson(found.share.value, found.votes)
        if interval.low > 0.5 or interval.high < 0.5:
            return interval.low > 0.5
    return False


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--votes", type=int, default=300)
    args = parser.parse_args()
    began, ends, misled = time.monotonic(), [], 0
    with tempfile.TemporaryDirectory() as folder, in_process(Path(folder), log_level="warning") as stack:
        with httpx2.Client(base_url=stack.gateway, trust_env=False) as client:
            for seed in range(args.seeds):
                vote_at_random(client, seed, args.votes)
        stored = parse_feedback(fetch_feedback(stack.gateway, "votes"), []).votes
    for seed in range(args.seeds):
        votes = [one for one in stored if new_of(seed) in (one.left.checkpoint, one.right.checkpoint)]
        winner, seen = decided(votes, seed)
        ends.append(winner)
        misled += by_interval(votes, seed)
        word = {1: "promoted", -1: "withdrawn", None: "not decided"}[winner]
        print(f"seed {seed}: {word} after {seen} votes", flush=True)
    print(f"{ends.count(1)} of {args.seeds} promoted, {ends.count(-1)} withdrawn")
    print(f"a 95% interval looked at after each vote from {FIRST_LOOK} on: {misled} promoted")
    print(f"{time.monotonic() - began:.0f} s; {len(stored)} votes through the API")


if __name__ == "__main__":
    main()
