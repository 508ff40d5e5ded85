"""KorQuAD 1.0 for chat models: exact match and character F1 by the official definition.

Definition (evaluation script of https://korquad.github.io/KorQuad%201.0/): text is put in lower case,
quotation marks and brackets become spaces, ASCII punctuation is removed, runs of spaces become one. Exact
match compares what is left; F1 counts the characters other than spaces that both have. Of an item's reference
answers the one with the best score counts.
"""

import json
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.template_facts import CONTEXT_MARK
from finetune.eval.models import EvalModel, GeneratedAnswer, Messages
from finetune.eval.report import SAMPLES, EvalReport, Sample, hash_texts, now, score, versions

ASK = "다음 글에서 질문의 답을 찾아, 글에 있는 말 그대로 짧게 답만 쓰세요.\n질문: {question}"
"""The instruction; the paragraph is its context, as in a Dolly row. For a model that was trained on KorQuAD's
bare questions, `{question}` alone asks as training did."""
MAX_TOKENS = 64
_SPACED = str.maketrans(dict.fromkeys("'\"《》<>〈〉()‘’", " "))
_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation))


@dataclass(frozen=True)
class KorquadItem:
    """A question about a paragraph, with its reference answers."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]


def normalise(text: str) -> str:
    """`text` in the form in which the official script compares it."""
    return " ".join(text.lower().translate(_SPACED).translate(_PUNCTUATION).split())


def exact_match(given: str, wanted: Sequence[str]) -> float:
    """1.0 when the answer equals one of `wanted`, else 0.0."""
    return float(any(normalise(given) == normalise(answer) for answer in wanted))


def character_f1(given: str, wanted: Sequence[str]) -> float:
    """The best F1 over `wanted`, 0.0 to 1.0."""
    return max((_f1(normalise(given), normalise(answer)) for answer in wanted), default=0.0)


def contains(given: str, wanted: Sequence[str]) -> float:
    """1.0 when the answer contains one of `wanted`, spaces aside, else 0.0: chat models answer in
    sentences."""
    said = normalise(given).replace(" ", "")
    return float(any(normalise(answer).replace(" ", "") in said for answer in wanted if normalise(answer)))


def _f1(given: str, wanted: str) -> float:
    one, other = Counter(given.replace(" ", "")), Counter(wanted.replace(" ", ""))
    same = (one & other).total()
    if not same:
        return 0.0
    precision, recall = same / one.total(), same / other.total()
    return 2 * precision * recall / (precision + recall)


def read_questions(path: Path, limit: int | None = None) -> list[KorquadItem]:
    """The first `limit` items of a KorQuAD 1.0 file (SQuAD's layout). Raises UserError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        found = [
            KorquadItem(
                str(item["id"]),
                str(item["question"]),
                str(paragraph["context"]),
                tuple(str(answer["text"]) for answer in item["answers"]),
            )
            for article in content["data"]
            for paragraph in article["paragraphs"]
            for item in paragraph["qas"]
        ]
    except OSError as error:
        raise UserError(f"The file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The file {path} is not UTF-8 text.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no KorQuAD 1.0 file: {type(error).__name__} {error}.",
            hint="It is the JSON of https://korquad.github.io, e.g. KorQuAD_v1.0_dev.json.",
        ) from error
    answerable = [item for item in found if any(normalise(answer) for answer in item.answers)]
    if not answerable:
        raise UserError(f"{path} holds no questions with answers.")
    return answerable[:limit]


def to_messages(item: KorquadItem, ask: str = ASK) -> Messages:
    """The conversation that asks an item, with the paragraph where Dolly rows have their context."""
    question = ask.replace("{question}", item.question)
    return [{"role": "user", "content": f"{question}{CONTEXT_MARK}{item.context}"}]


def evaluate_korquad(model: EvalModel, items: Sequence[KorquadItem], ask: str = ASK) -> EvalReport:
    """Exact match, character F1 and `contains`, with intervals. Raises UserError.

    Only the first line of an answer that is not blank counts: what follows is explanation.
    """
    conversations = [to_messages(item, ask) for item in items]
    made: list[GeneratedAnswer] = list(model.answers(conversations, MAX_TOKENS))
    given = [_first_line(answer.text) for answer in made]
    asked = hash_texts([ask, *(item.id + item.question for item in items)])
    judged = list(zip(given, (item.answers for item in items), strict=True))
    too_long = sum(not answer.fits for answer in made)
    notes = []
    if too_long:
        notes.append(f"{too_long} questions are longer than the model's context and count as wrong.")
    return EvalReport(
        kind="korquad",
        model=model.name,
        source=model.source,
        scores=[
            score("korquad", "exact_match", [[exact_match(*pair)] for pair in judged], asked),
            score("korquad", "f1", [[character_f1(*pair)] for pair in judged], asked),
            score("korquad", "contains", [[contains(*pair)] for pair in judged], asked),
            score("korquad", "stop_rate", [[float(answer.finished)] for answer in made], asked),
        ],
        settings={"ask": ask, "max_tokens": MAX_TOKENS},
        notes=notes,
        samples=[
            Sample(question=item.question, wanted=item.answers[0], answer=answer.text)
            for item, answer in zip(items[:SAMPLES], made, strict=False)
        ],
        created=now(),
        versions=versions(),
    )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
