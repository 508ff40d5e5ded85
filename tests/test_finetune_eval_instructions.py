"""`kodolly eval instructions`: each rule holds for an answer that keeps it and not for one that does not."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.eval.instruction_rules import RULES, sentences
from finetune.eval.instructions import QUESTIONS, Instruction, evaluate_instructions, read_instructions
from finetune.eval.models import GeneratedAnswer, Messages

CASES: dict[str, tuple[int | str, str, str]] = {
    "most_sentences": (2, "맑습니다. 따뜻해요!", "하나. 둘. 셋."),
    "sentences": (1, "정말요?!", "맑아요. 따뜻해요."),
    "most_characters": (5, "맑아요", "아주 맑아요"),
    "least_characters": (5, "아주 맑아요", "맑아"),
    "paragraphs": (2, "하나\n\n둘", "하나\n둘"),
    "bullets": (2, "- 물\n- 불", "- 물\n둘째는 불"),
    "numbered": (2, "1. 물\n2) 불", "1. 물\n불"),
    "contains": ("벚꽃", "벚꽃이 핍니다", "꽃이 핍니다"),
    "avoids": ("눈", "춥습니다", "눈이 옵니다"),
    "begins": ("안녕", "안녕하세요", "네, 안녕하세요"),
    "ends": ("끝.", "이제 끝.", "끝. 아니다"),
    "formal": (1, '오늘은 맑습니다. "좋아요!"', "오늘은 맑다. 좋아요."),
    "no_latin": (1, "컴퓨터", "PC"),
    "no_digits": (1, "세 가지", "3가지"),
    "json": (1, '```json\n{"이름": "민수"}\n```', "이름: 민수"),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_tells_kept_from_broken(rule: str) -> None:
    value, kept, broken = CASES[rule]
    assert RULES[rule](kept, value)
    assert not RULES[rule](broken, value)
    assert not RULES[rule]("", value)


def test_marks_and_points_in_numbers_make_no_sentence() -> None:
    assert sentences("네…… !!\n\n---\n1. 오늘은 3.5도예요. 춥죠?") == ["네……", "오늘은 3.5도예요.", "춥죠?"]


class Answers:
    """A model with prepared answers."""

    name, source = "tiny", "served"

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def answers(
        self, conversations: Sequence[Messages], max_tokens: int, temperature: float = 0.0
    ) -> Iterator[GeneratedAnswer]:
        assert len(conversations) == len(self.texts)
        yield from (GeneratedAnswer(text, finished=True) for text in self.texts)

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> Iterator[list[float] | None]:
        raise NotImplementedError


def test_all_rules_of_a_question_count_together_and_each_by_itself() -> None:
    questions = [
        Instruction(prompt="두 문장, 존댓말", rules={"sentences": 2, "formal": 1}),
        Instruction(prompt="존댓말", rules={"formal": 1}),
    ]
    report = evaluate_instructions(Answers("맑아요.", " 좋습니다.\n"), questions, "형식", 64)
    assert {score.task: (score.value, score.n) for score in report.scores} == {
        "형식": (0.5, 2),
        "형식/sentences": (0.0, 1),
        "형식/formal": (1.0, 2),
    }
    assert [sample.question for sample in report.samples] == ["두 문장, 존댓말"]


def test_the_shipped_questions_use_every_rule_and_a_wrong_file_is_refused(tmp_path: Path) -> None:
    assert {rule for question in read_instructions(QUESTIONS) for rule in question.rules} == set(RULES)
    (tmp_path / "mine.jsonl").write_text('{"prompt": "네?", "rules": {"rhymes": 1}}\n', encoding="utf-8")
    with pytest.raises(UserError, match="line 1: .*no rule rhymes; they are most_sentences"):
        read_instructions(tmp_path / "mine.jsonl")


def test_a_line_separator_within_a_question_ends_no_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('\ufeff{"prompt": "날씨는?\u2028한 문장으로.", "rules": {"sentences": 1}}\n\n', "utf-8")
    assert [question.prompt for question in read_instructions(path)] == ["날씨는?\u2028한 문장으로."]
    path.write_bytes("날씨는?".encode("cp949"))
    with pytest.raises(UserError, match="not UTF-8"):
        read_instructions(path)
