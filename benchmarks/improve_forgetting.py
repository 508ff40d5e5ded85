"""What preferences cost of what a model knew, with and without earlier rows beside them.

python benchmarks/improve_forgetting.py [--method dpo|kto] [--rate X] [--seed 1]

The raters of improve_raters.py prefer the right answer to one that demo-dolly gave, in nine of ten cases. The
recipe is that of `kodolly improve`; `--rate` multiplies its learning rate, which for so small a model is too
careful to change much. The earlier rows are those that the demo was trained on.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from common.openmp import let_waiting_threads_sleep  # noqa: E402

let_waiting_threads_sleep()

from benchmarks.improve import DEMO, ROWS, Asked, old_rows  # noqa: E402
from benchmarks.improve_raters import ERR, RATED, TURNS  # noqa: E402
from common.checkpoint import read_card  # noqa: E402
from finetune.data.from_feedback import Training, write_training  # noqa: E402
from finetune.demo.build import build_demo, demo_directories  # noqa: E402
from finetune.improve.measure import Measured, MeasurementPlan, measure  # noqa: E402
from finetune.improve.method import Choice, recipe_values  # noqa: E402
from finetune.improve.rows import Replay, TurnRows  # noqa: E402
from finetune.progress import terminal_report  # noqa: E402
from finetune.rows.row import Pair, Row  # noqa: E402
from tests.support.processes import kodolly  # noqa: E402

SHARES = (0.0, 1.0)
"""Of `kodolly improve --replay-share`."""


def preferred(asked: Asked, seed: int) -> list[Pair]:
    """What people said, one in ten the wrong way round."""
    rng = random.Random(seed)
    told = [(fact, phrasing.format(fact.country)) for fact in TURNS[0].facts for phrasing in RATED]
    given = asked.answers([question for _, question in told], 0.7)
    pairs = []
    for (fact, question), answer in zip(told, given, strict=True):
        sides = [fact.right, answer["answer"] or "."]
        if rng.random() < ERR:
            sides.reverse()
        pairs.append(Pair(instruction=question, chosen=sides[0], rejected=sides[1], meta={"from": "vote"}))
    rng.shuffle(pairs)
    return pairs


def labelled(pairs: list[Pair]) -> list[Row]:
    """The same, each answer by itself."""
    return [
        Row(instruction=pair.instruction, response=text, category="general_qa", meta=meta)
        for pair in pairs
        for text, good in ((pair.chosen, True), (pair.rejected, False))
        for meta in ({"from": "vote", "label": good},)
    ]


def trained(base: Path, rows: TurnRows, method: str, rate: float, directory: Path) -> Path:
    """The checkpoint that a turn would make of these rows."""
    rows.write(directory)
    card = read_card(base)
    assert card is not None
    choice = Choice("dpo" if method == "dpo" else "kto", "the benchmark says so")
    data = "pairs.jsonl" if method == "dpo" else "labelled.jsonl"
    values = recipe_values(card, str(base), "forgetting", choice, data, rows.counts())
    values["learning_rate"] *= rate
    (directory / "recipe.yaml").write_text(json.dumps(values), encoding="utf-8")
    for words in (["train", "recipe.yaml", "--output", "adapter"], ["merge", "lora", "adapter", "new"]):
        subprocess.run(kodolly(*words), cwd=directory, check=True, capture_output=True)
    return directory / "new"


def measured(checkpoint: Path, directory: Path) -> Measured:
    """On held-out pairs and earlier rows."""
    files = {name: directory / f"{name.replace('_', '-')}.jsonl" for name in ("held_out", "questions")}
    return measure(MeasurementPlan(checkpoint=checkpoint, old_rows=directory / "earlier.jsonl", **files))


def main() -> None:
    """Run from the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--method", choices=("dpo", "kto"), default="dpo")
    parser.add_argument("--rate", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    build_demo(DEMO, terminal_report())
    base = demo_directories(DEMO)[1]
    pairs = preferred(Asked(base), args.seed)
    learnt, held_out = pairs[16:], pairs[:16]
    before: Measured | None = None
    for share in SHARES:
        replay = Replay((ROWS,), share)
        known = replay.rows(())[: replay.count(len(learnt))]
        made = Training(pairs=learnt, labelled=labelled(learnt))
        with tempfile.TemporaryDirectory() as folder:
            directory = Path(folder)
            earlier = [Row.model_validate(row) for row in old_rows()]
            write_training(earlier, directory / "earlier.jsonl")
            began = time.monotonic()
            new = trained(base, TurnRows(made, held_out, known), args.method, args.rate, directory)
            seconds = time.monotonic() - began
            before = before or measured(base, directory)
            show(len(known), before, measured(new, directory), seconds)


def show(replayed: int, before: Measured, after: Measured, seconds: float) -> None:
    """The figures of one training."""
    was, now = (sum(one.old_rows) / len(one.old_rows) for one in (before, after))
    leans = [
        after.better[n] - before.better[n] > after.worse[n] - before.worse[n]  # type: ignore[operator]
        for n in range(len(before.better))
    ]
    print(
        f"{replayed:4} earlier rows: leans to the preferred answer on {sum(leans)} of {len(leans)} held-out"
        f" questions, earlier rows F1 {was:.3f} -> {now:.3f}, trained and merged in {seconds:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
