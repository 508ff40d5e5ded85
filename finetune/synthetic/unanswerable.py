"""Rows that teach a model to say that a text does not answer: questions beside similar but wrong passages."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from finetune.synthetic.grounding import opinion_of, unanswered_request
from finetune.synthetic.passages import SourcePassage
from finetune.synthetic.round_trip import RoundTrip
from finetune.synthetic.tasks import Candidate
from finetune.synthetic.teacher import Teacher

SHARE = 0.1
"""Share of such rows among all rows."""
NOT_SAID = (
    "문서에 없습니다. 주어진 글은 이 질문의 답을 다루지 않습니다.",
    "주어진 글에는 이 질문에 대한 내용이 나와 있지 않습니다.",
    "이 글에는 해당 내용이 적혀 있지 않습니다. 다른 문서를 확인해 주세요.",
)
_LOOK_AT = 8
"""How many of the passages that the search finds for a question are considered; one of them is taken."""


def unanswerable(
    answered: Sequence[Candidate],
    wanted: int,
    trip: RoundTrip,
    teacher: Teacher,
    seed: int,
    lost: Counter[str],
) -> Iterator[tuple[Candidate, SourcePassage, str]]:
    """Yield at most `wanted` of (question with its answer, passage that does not answer it, what to say).

    The passage is one that the search finds for the question, so that the model learns to read it and not
    just to notice another subject. The teacher must find no answer in it. lost: counts what was dropped, by
    reason.
    """
    chance = random.Random(seed)
    paired = []
    for one in chance.sample(answered, min(len(answered), 2 * wanted)):
        if others := trip.others(one.instruction, one.passage, _LOOK_AT):
            paired.append((one, chance.choice(others)))
    requests = [unanswered_request(passage, one.instruction, seed) for one, passage in paired]
    made = 0
    for (one, passage), answer in zip(paired, teacher.answers(requests, "unanswerable"), strict=True):
        if opinion_of(answer) is not False:
            lost["the other passage may answer the question, too"] += 1
        elif made < wanted:
            yield one, passage, NOT_SAID[made % len(NOT_SAID)]
            made += 1
