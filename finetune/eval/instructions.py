"""How often a model's answers have the form that the question asks for (`instruction_rules`)."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from common.errors import UserError
from finetune.eval.instruction_rules import RULES
from finetune.eval.models import EvalModel, Messages
from finetune.eval.report import SAMPLES, EvalReport, Sample, hash_texts, now, score, versions
from finetune.files.text_lines import text_lines

QUESTIONS = Path(__file__).parent / "instructions.jsonl"
"""Thirty questions of kodolly's own."""


class Instruction(BaseModel):
    """A question and the rules that its answer must keep."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    prompt: str = Field(min_length=1)
    rules: dict[str, int | str] = Field(min_length=1)
    """Rule name -> its value."""

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: dict[str, int | str]) -> dict[str, int | str]:
        if unknown := rules.keys() - RULES.keys():
            raise ValueError(f"no rule {', '.join(sorted(unknown))}; they are {', '.join(RULES)}")
        return rules

    def kept(self, answer: str) -> dict[str, bool]:
        """Rule name -> whether `answer` keeps the rule."""
        return {name: RULES[name](answer.strip(), value) for name, value in self.rules.items()}


def read_instructions(path: Path) -> list[Instruction]:
    """Read a file with lines of `{"prompt": ..., "rules": {...}}`. Raises UserError."""
    found = []
    for number, line in text_lines(path, "The file of questions"):
        try:
            found.append(Instruction.model_validate_json(line))
        except ValidationError as error:
            raise UserError(f"{path}, line {number}: {error.errors()[0]['msg']}.") from error
    if not found:
        raise UserError(f"{path} holds no question.")
    return found


def evaluate_instructions(
    model: EvalModel, questions: Sequence[Instruction], name: str, max_tokens: int
) -> EvalReport:
    """The share of greedy answers that keep all of their rules, and the share for each rule (`name/RULE`).

    The samples are answers that break a rule. A question too long for the model keeps none. Raises UserError.
    """
    asked: list[Messages] = [[{"role": "user", "content": question.prompt}] for question in questions]
    answers = [answer.text for answer in model.answers(asked, max_tokens)]
    kept = [question.kept(answer) for question, answer in zip(questions, answers, strict=True)]
    scores = [score(name, "accuracy", [[float(all(each.values()))] for each in kept], _hash(questions))]
    for rule in RULES:
        with_rule = [(q, each[rule]) for q, each in zip(questions, kept, strict=True) if rule in each]
        if with_rule:
            items = [[float(holds)] for _, holds in with_rule]
            scores.append(score(f"{name}/{rule}", "accuracy", items, _hash([q for q, _ in with_rule])))
    return EvalReport(
        kind="instructions",
        model=model.name,
        source=model.source,
        scores=scores,
        settings={"max_tokens": max_tokens},
        samples=[
            Sample(question=question.prompt, wanted=", ".join(each), answer=answer)
            for question, answer, each in zip(questions, answers, kept, strict=True)
            if not all(each.values())
        ][:SAMPLES],
        created=now(),
        versions=versions(),
    )


def _hash(questions: Sequence[Instruction]) -> str:
    return hash_texts(question.model_dump_json() for question in questions)
