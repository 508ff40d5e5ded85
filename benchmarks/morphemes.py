"""What finds Korean passages best and soonest: MeCab, Kiwi, Kiwi word by word, or pairs of characters alone;
docs/documents.md quotes it.

    python benchmarks/morphemes.py --data DIRECTORY

DIRECTORY holds what benchmarks/retrieval.py reads. The questions of KoBEST's BoolQ are asked of its 700
paragraphs, and the instructions of KoAlpaca of all its answers of 60 characters or more; many answers fit
several instructions, so 100% is out of reach there. Shown are how often the right passage comes first, with
the questions that each rule loses and wins against the first one, and texts a second of CPU time of this
process, in which every word is new at the beginning.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.retrieval import boolq  # noqa: E402
from common.normal_form import nfc  # noqa: E402
from documents.morphemes import morphemes_of  # noqa: E402
from documents.search import store as store_module  # noqa: E402
from documents.search.store import open_store  # noqa: E402
from documents.search.terms import pairs_of, terms_of, terms_version  # noqa: E402
from finetune.eval.retrieval import add_passages, ranked, retrieval_set  # noqa: E402
from finetune.rows.question import QuestionRow  # noqa: E402

SHORTEST = 60
"""Characters of an answer of KoAlpaca that is taken."""
Terms = Callable[[Sequence[str]], list[list[str]]]


def koalpaca(data: Path) -> list[QuestionRow]:
    """Instructions without input, each with its own answer."""
    rows = json.loads((data / "koalpaca_v1.0_8000.json").read_text(encoding="utf-8"))
    first = {
        row["output"]: row["instruction"]
        for row in reversed(rows)
        if len(row["output"]) >= SHORTEST and not row.get("input")
    }
    return [QuestionRow(instruction, output) for output, instruction in reversed(first.items())]


def pairs(texts: Sequence[str]) -> list[list[str]]:
    """Pairs of characters alone."""
    return [pairs_of(nfc(text).lower()) for text in texts]


def by_kiwi(texts: Sequence[str]) -> list[list[str]]:
    """Each text read as a whole."""
    return [
        ["m" + one for one in found] + two
        for found, two in zip(morphemes_of(texts), pairs(texts), strict=True)
    ]


class ByWord:
    """What Kiwi says of each word alone, asked once."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        new = list({word for text in texts for word in text.split()} - self._known.keys())
        self._known.update(zip(new, morphemes_of(new), strict=True))
        return [
            ["m" + one for word in text.split() for one in self._known[word]] + two
            for text, two in zip(texts, pairs(texts), strict=True)
        ]


def firsts(rule: Terms, rows: Sequence[QuestionRow]) -> tuple[list[bool], float]:
    """Whether the right passage came first, question by question; and texts a second."""
    asked = retrieval_set(rows)
    began = time.process_time()
    rule(asked.passages)
    rate = len(asked.passages) / (time.process_time() - began)
    with (
        patch.object(store_module, "terms_of", rule),
        tempfile.TemporaryDirectory() as directory,
        open_store(Path(directory) / "passages.db", create=True) as store,
    ):
        add_passages(store, asked.passages)
        found = [ranked(store, question)[:1] for question, _ in asked.asked]
    right = [bool(hits) and hits[0][0] == gold for hits, (_, gold) in zip(found, asked.asked, strict=True)]
    return right, rate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    print(terms_version())
    questions = [QuestionRow(asked, text) for text, asked in zip(*boolq(options.data), strict=True)]
    for rule in (terms_of, by_kiwi):
        rule(["연차휴가"])  # the start of the analysers is not counted
    for name, rows in (("BoolQ", questions), ("KoAlpaca", koalpaca(options.data))):
        base: list[bool] = []
        for label, rule in (
            ("MeCab", terms_of),
            ("Kiwi", by_kiwi),
            ("Kiwi, word by word", ByWord()),
            ("pairs alone", pairs),
        ):
            right, rate = firsts(rule, rows)
            base = base or right
            lost = sum(was and not now for was, now in zip(base, right, strict=True))
            won = sum(now and not was for was, now in zip(base, right, strict=True))
            share = sum(right) / len(right)
            print(
                f"{name:9} {label:19} first {share:.1%} of {len(right)}, lost {lost}, won {won};"
                f" {rate:,.0f} texts/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
