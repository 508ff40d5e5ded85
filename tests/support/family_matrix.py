"""Every model family by every method, from training to the chat endpoint, and its table in docs/models.md.

`python -m tests.support.family_matrix` runs all of it (about three minutes on two cores) and writes the
table, or only the lines of the families that it is given (`GPT-NeoX-dolly`);
tests/test_finetune_families.py runs it again and holds the table to what came out.
"""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.openmp import let_waiting_threads_sleep
from tests.support.forked_vllm import ask, load_weights, served
from tests.support.generated_table import write_line

if TYPE_CHECKING:  # a forked server imports the main module again, which must not be the training libraries
    from tests.support.tiny_families import Family

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- matrix: written by python -m tests.support.family_matrix -->", "<!-- /matrix -->"
METHODS = ("full", "lora", "qlora", "dpo", "dpo nf4")
HEAD = ("Architecture", "Template", "Published models", "full", "LoRA", "QLoRA", "DPO", "DPO + QLoRA")
SERVED = "served"
NOT_TRIED = "–"
SAME_FILES = ("config.json", "generation_config.json", "chat_template.jinja", "tokenizer.json")
"""Files that one server reads once for all checkpoints of a family."""


def run_family(family: "Family", folder: Path) -> dict[str, str]:
    """Train by every method of `family`, merge, serve; method to SERVED. AssertionError where one fails.

    One server answers for all of a family's checkpoints where their weights can be loaded into it in turn.
    Before that it serves the base, which must not know the answers yet.
    """
    from tests.support.tiny_families import expected, make_family, tune

    base = make_family(family, folder)
    checkpoints = {method: tune(family, method, folder) for method in family.methods}
    for checkpoint in checkpoints.values():
        for name in SAME_FILES:
            assert _settings(checkpoint / name) == _settings(base / name), f"{checkpoint}: {name}"
    with served(base, folder / "vllm.log") as url:
        assert _right_answers(url, "base") == len(expected("base"))
        for method in family.methods:
            known = _right_answers(url, method)
            assert known < len(expected(method)) / 2, f"the base gives {known} answers of {method}"
        for method, checkpoint in checkpoints.items() if family.reloads else ():
            load_weights(url, checkpoint)
            assert _right_answers(url, method) == len(expected(method)), f"{family.name} {method}"
    for method, checkpoint in checkpoints.items() if not family.reloads else ():
        with served(checkpoint, folder / "vllm.log") as url:
            assert _right_answers(url, method) == len(expected(method)), f"{family.name} {method}"
    return dict.fromkeys(family.methods, SERVED)


def _settings(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _right_answers(url: str, method: str) -> int:
    """Questions that get the answer taught by `method`, ended by the model itself."""
    from tests.support.tiny_families import expected

    right = 0
    for question, answer in expected(method).items():
        choice = ask(url, [{"role": "user", "content": question}])["choices"][0]
        right += choice["message"]["content"].strip() == answer and choice["finish_reason"] == "stop"
    return right


def table_row(family: "Family", outcome: Mapping[str, str]) -> str:
    """A line of the table."""
    cells = [outcome.get(method, NOT_TRIED) for method in METHODS]
    return f"| {' | '.join((family.name, family.template, family.published, *cells))} |"


def main(keys: Sequence[str]) -> None:
    """Run the families of `keys`, all when there are none, and write their lines; other lines stay."""
    let_waiting_threads_sleep()
    from tests.support.tiny_families import FAMILIES

    with tempfile.TemporaryDirectory() as scratch:
        for family in FAMILIES:
            if keys and family.key not in keys:
                continue
            folder = Path(scratch) / family.key
            folder.mkdir()
            line = table_row(family, run_family(family, folder))
            order = [f"| {each.name} | {each.template}" for each in FAMILIES]
            write_line(PAGE, (BEGIN, END), HEAD, line, order)
            print(family.key, file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
