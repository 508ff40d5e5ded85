"""How many bad rows `kodolly data from-documents` catches, and how many good ones it loses.

    python benchmarks/data_quality.py [--offices 40] [--sections 4] [--errs 0.3] [--believes 0.1] [--show]

The documents are made, so that their facts are known (tests/support/known_facts.py). The teacher is scripted
(tests/support/scripted_teacher.py): it answers over loopback as OpenAI's API does, writes a share of wrong
rows of listed kinds, cuts some answers off, and is itself wrong when it is asked for a second opinion: it
believes a tenth of wrong rows and doubts a fiftieth of right ones. A second run with a teacher that believes
everything shows what the words alone catch. Intervals are Wilson's, 95%.

Exit code 1 where an aim is missed: 95% of the bad rows caught, at most 5% of the good ones lost.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from finetune.eval.intervals import wilson
from finetune.eval.served_model import ServedModel
from finetune.progress import silent
from finetune.synthetic.authorship import Authorship
from finetune.synthetic.from_documents import DocumentRows, rows_from_documents
from finetune.synthetic.passages import Reading, read_folder
from finetune.synthetic.tasks import tasks
from finetune.synthetic.teacher import Teacher
from tests.support.known_facts import Fact, write_papers
from tests.support.scripted_teacher import NAME, ScriptedTeacher, row_key, served

MOST_LOST, LEAST_CAUGHT = 0.05, 0.95
SIZE = 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--offices", type=int, default=40)
    parser.add_argument("--sections", type=int, default=4)
    parser.add_argument("--errs", type=float, default=0.3)
    parser.add_argument("--believes", type=float, default=0.1)
    parser.add_argument("--doubts", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", action="store_true", help="Print rows that were judged wrongly.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        papers = Path(folder) / "papers"
        papers.mkdir()
        facts = write_papers(papers, given.offices, given.sections, given.seed)
        reading = read_folder(papers, SIZE, silent)
        print(f"{given.offices} documents, {len(reading.passages)} passages, {len(facts)} facts")
        teacher = ScriptedTeacher(facts, given.errs, given.believes, given.doubts, breaks=0.05)
        good = _measure("as above", teacher, reading, Path(folder), given)
        credulous = ScriptedTeacher(facts, given.errs, believes=1.0, breaks=0.05)
        _measure("a teacher that believes all it wrote", credulous, reading, Path(folder), given)
    return 0 if good else 1


def _measure(
    title: str, teacher: ScriptedTeacher, reading: Reading, folder: Path, given: argparse.Namespace
) -> bool:
    began = time.monotonic()
    with served(teacher) as url, closing(ServedModel(url, NAME)) as model:
        asked = Teacher(model, folder / f"{title}.jsonl", silent)
        made = rows_from_documents(reading, tasks(3), SIZE, asked, Authorship(NAME, "none"), given.seed)
    print(f"\n## {title} ({time.monotonic() - began:.0f} s, {len(teacher.requests)} requests)\n")
    kept = {row_key(row.instruction, row.response, row.context) for row in made.rows}
    bad = {row: error for row, error in teacher.proposed.items() if error}
    good = [row for row, error in teacher.proposed.items() if not error]
    for error, count in sorted(Counter(bad.values()).items()):
        caught = sum(row not in kept for row, kind in bad.items() if kind == error)
        print(f"| {error} | {_share(caught, count)} |")
    caught, lost = sum(row not in kept for row in bad), [row for row in good if row not in kept]
    print(f"| **bad rows caught** | {_share(caught, len(bad))} |")
    print(f"| **good rows lost** | {_share(len(lost), len(good))} |")
    _unanswerable(made, teacher.facts)
    for reason, count in made.dropped.most_common():
        print(f"    {count:6} {reason}")
    if given.show:
        for row in [*lost, *(row for row in bad if row in kept)]:
            print(json.dumps([bad.get(row, ""), *row[:2]], ensure_ascii=False))
    return caught >= LEAST_CAUGHT * len(bad) and len(lost) <= MOST_LOST * len(good)


def _unanswerable(made: DocumentRows, facts: Sequence[Fact]) -> None:
    rows = [row for row in made.rows if row.meta.get("answerable") is False]
    sentences = {fact.question: fact.sentence for fact in facts}
    wrong = sum(sentences.get(row.instruction, "") in row.context for row in rows)
    print(f"| unanswerable rows | {len(rows)} of {len(made.rows)}; {wrong} of them are answered |")


def _share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    found = wilson(part, whole)
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}) of {whole}"


if __name__ == "__main__":
    raise SystemExit(main())
