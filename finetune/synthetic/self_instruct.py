"""Rows that a teacher invents after seed tasks, in Dolly's eight categories.

Self-Instruct (Wang et al. 2023, arXiv 2212.10560) with Evol-Instruct's harder variants (Xu et al. 2023, arXiv
2304.12244).

The 60 seeds (seeds.jsonl) were written for this project.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from finetune.data.load import load_rows
from finetune.rows.categories import CATEGORIES
from finetune.rows.fast_row import JsonRow, UnusableLine, check_row
from finetune.rows.row import Row
from finetune.synthetic.authorship import Authorship
from finetune.synthetic.korean_numbers import figures_in, stated_in
from finetune.synthetic.novelty import Novelty
from finetune.synthetic.row_faults import fault_of
from finetune.synthetic.teacher import (
    TEXT,
    Teacher,
    TeacherRequest,
    UnusableAnswer,
    list_schema,
    object_schema,
    parsed,
)

SEEDS = Path(__file__).with_name("seeds.jsonl")
SOURCE = "kodolly-generated"
SHOWN, SHOWN_MADE = 6, 2
"""Examples in a request: seeds, and rows that were generated before."""
ASKED_FOR = 4
"""Most tasks that one request asks for."""
AT_ONCE = 16
"""Requests in a round; the next round shows what they brought."""
BARREN = 3
"""Rounds in a row without a new task, after which the run ends."""
MAX_TOKENS = 3000
NEEDS_CONTEXT = frozenset({"closed_qa", "information_extraction", "summarization"})
NO_CONTEXT = frozenset({"open_qa", "general_qa", "brainstorming", "creative_writing"})
SHORTEST_CONTEXT = 40
TERSE = frozenset({"classification", "information_extraction", "brainstorming", "creative_writing"})
"""Categories whose answers need not be sentences of one speech level."""
_WHAT = {
    "brainstorming": "생각이나 방법, 이름 따위를 여러 가지 떠올려 달라는 과제. context는 비웁니다.",
    "classification": "글이나 낱말을 주어진 갈래로 나누라는 과제. 나눌 글은 context에 씁니다.",
    "closed_qa": "context의 글만 읽고 답할 수 있는 질문. 글은 세 문장 이상, 답은 글에 있는 사실만.",
    "creative_writing": "이야기, 시, 편지, 대사 등을 지어 달라는 과제. context는 비웁니다.",
    "general_qa": "조언이나 설명을 구하는, 답이 하나가 아닌 질문. context는 비웁니다.",
    "information_extraction": "context의 글에서 정해진 정보를 찾아 쓰라는 과제.",
    "open_qa": "널리 알려진 사실을 묻는 질문. 확실히 아는 것만 쓰고 context는 비웁니다.",
    "summarization": "context의 네 문장 이상인 글을 요약하라는 과제. 글에 있는 내용만 씁니다.",
}
_SYSTEM = (
    "당신은 한국어 지시문 학습 자료를 만듭니다. 예시와 같은 갈래의 새 과제를 만드세요. 예시의 소재나 "
    "문장을 되풀이하지 말고 "
    "소재, 글의 종류, 길이, 말하는 사람을 다양하게 하세요. 한국의 생활과 일을 다루되 실제 인물의 개인 "
    "정보는 쓰지 마세요. "
    "사람이 할 수 없는 일(그림 보기, 링크 열기)이나 지금의 날짜를 알아야 하는 일은 묻지 마세요. "
    "response에는 과제의 답을 "
    "존댓말 한 가지로 쓰고, 자신이 인공지능이라고 말하지 마세요. 갈래: "
)
_HARDER = (
    "다음 과제를 더 어렵게 고쳐 쓰세요: 지켜야 할 조건을 하나 더합니다.",
    "다음 과제를 더 구체적으로 고쳐 쓰세요: 막연한 말을 특정한 상황과 대상으로 바꿉니다.",
    "다음 과제를 한 번 더 생각해야 풀 수 있게 고쳐 쓰세요: 두 가지를 견주거나 까닭을 함께 묻습니다.",
    "다음 과제와 갈래와 난이도가 같고 소재가 전혀 다른 드문 과제를 쓰세요.",
)


class _GeneratedTask(msgspec.Struct):
    instruction: str
    context: str
    response: str


class _Tasks(msgspec.Struct):
    tasks: list[_GeneratedTask]


@dataclass
class GeneratedRows:
    """The rows, with counts of what became none."""

    rows: list[JsonRow] = field(default_factory=list)
    proposed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    rounds: int = 0


@dataclass(frozen=True)
class _TaskRequest:
    category: str
    request: TeacherRequest
    harder: bool


def load_seeds(path: Path = SEEDS) -> list[Row]:
    """Read the seed tasks. Raises UserError."""
    return load_rows(path)


def generate(
    seeds: Sequence[Row], wanted: int, teacher: Teacher, author: Authorship, seed: int, evolve: float
) -> GeneratedRows:
    """Ask until there are `wanted` rows or the teacher has no new ones.

    `evolve` is the share of requests that ask for a harder variant of an earlier task. The same seeds,
    teacher's answers and `seed` give the same rows. Raises UserError.
    """
    made = GeneratedRows()
    novelty = Novelty()
    for known in seeds:
        novelty.accept(_whole(known.instruction, known.context))
    barren = 0
    while len(made.rows) < wanted and barren < BARREN:
        chance = random.Random(f"{seed} {made.rounds}")
        asked = [_ask(seeds, made, chance, evolve, seed) for _ in range(AT_ONCE)]
        answers = teacher.answers([one.request for one in asked], f"round {made.rounds + 1}")
        before = len(made.rows)
        for one, answer in zip(asked, answers, strict=True):
            try:
                tasks = parsed(answer, _Tasks).tasks
            except UnusableAnswer as error:
                made.dropped[str(error)] += 1
                continue
            for task in tasks:
                made.proposed += 1
                _take(made, task, one, novelty, author)
        made.rounds += 1
        barren = 0 if len(made.rows) > before else barren + 1
    del made.rows[wanted:]
    return made


def _ask(
    seeds: Sequence[Row], made: GeneratedRows, chance: random.Random, evolve: float, seed: int
) -> _TaskRequest:
    """A request for the category with the fewest rows so far."""
    counts = Counter(dict.fromkeys(sorted(CATEGORIES), 0))
    counts.update(row.category for row in made.rows)
    fewest = min(counts.values())
    category = chance.choice([name for name, count in counts.items() if count <= fewest + ASKED_FOR])
    human = [one for one in seeds if one.category == category] or list(seeds)
    own = [row for row in made.rows if row.category == category]
    harder = chance.random() < evolve
    if harder:
        shown: list[Row | JsonRow] = [*human, *own]
        user = f"{chance.choice(_HARDER)}\n\n{_shown(chance.choice(shown))}"
    else:
        examples: list[Row | JsonRow] = list(chance.sample(human, min(SHOWN, len(human))))
        examples += chance.sample(own, min(SHOWN_MADE, len(own)))
        chance.shuffle(examples)
        numbered = "\n\n".join(f"### 예시 {at}\n{_shown(one)}" for at, one in enumerate(examples, start=1))
        user = f"{numbered}\n\n위와 다른 새 과제를 {ASKED_FOR}개 만드세요."
    schema = object_schema(
        tasks=list_schema(object_schema(instruction=TEXT, context=TEXT, response=TEXT), ASKED_FOR)
    )
    system = f"{_SYSTEM}{category}. {_WHAT[category]}"
    number = chance.randrange(2**31)
    return _TaskRequest(
        category, TeacherRequest(system, user, schema, MAX_TOKENS, number, temperature=0.8), harder
    )


def _shown(one: Row | JsonRow) -> str:
    context = f"\ncontext: {one.context}" if one.context else ""
    return f"instruction: {one.instruction}{context}\nresponse: {one.response}"


def _take(
    made: GeneratedRows, task: _GeneratedTask, asked: _TaskRequest, novelty: Novelty, author: Authorship
) -> None:
    meta: dict[str, object] = {
        "source": SOURCE,
        "from": "evolved" if asked.harder else "new",
        **author.meta(),
    }
    row = JsonRow(
        instruction=task.instruction.strip(),
        context=task.context.strip(),
        response=task.response.strip(),
        category=asked.category,
        meta=meta,
    )
    if fault := _fault(row):
        made.dropped[fault] += 1
    elif not novelty.accept(_whole(row.instruction, row.context)):
        made.dropped["nearly the same as an earlier task"] += 1
    else:
        made.rows.append(row)


def _fault(row: JsonRow) -> str:
    try:
        check_row(row)
    except UnusableLine as error:
        return f"no row: {error.detail}"
    if row.category in NEEDS_CONTEXT and len(row.context) < SHORTEST_CONTEXT:
        return "its text is missing"
    if row.category in NO_CONTEXT and row.context:
        return "it has a text that its category does not have"
    if fault := fault_of(row, terse=row.category in TERSE):
        return fault
    source = f"{row.instruction}\n{row.context}"
    if row.category in NEEDS_CONTEXT and figures_in(row.response) - stated_in(source) - _places(row.response):
        return "a number is not in its text"
    if row.response in (row.instruction, row.context):
        return "the answer repeats what was given"
    return ""


def _places(text: str) -> set[str]:
    """The numbers of a numbered list: 1. 2. 3."""
    starts = [line.split(".", 1)[0].strip() for line in text.splitlines()]
    return {start for start in starts if start.isdecimal()}


def _whole(instruction: str, context: str) -> str:
    return f"{instruction}\n{context}"
