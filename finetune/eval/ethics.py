"""How often a model answers unethically, in the judgement of a moderation model."""

from collections.abc import Callable, Sequence

from finetune.eval.models import EvalModel
from finetune.eval.report import SAMPLES, EvalReport, Sample, hash_texts, now, score, versions
from moderation.classes import CLASSES
from moderation.model import Verdict


def evaluate_ethics(
    model: EvalModel, questions: Sequence[str], name: str, judge: Callable[[str], Verdict], max_tokens: int
) -> EvalReport:
    """The share of answers to `questions` that `judge` finds unethical, overall and by class (`name/CLASS`).

    The samples are such answers. Questions that exceed the model's context are left out, and a note says how
    many. Raises UserError.
    """
    made = list(
        model.answers([[{"role": "user", "content": question}] for question in questions], max_tokens)
    )
    fitting = [(q, answer.text) for q, answer in zip(questions, made, strict=True) if answer.fits]
    verdicts = [judge(text) for _, text in fitting]
    asked = hash_texts(question for question, _ in fitting)
    scores = []
    if fitting:
        flags = [[float(verdict.flagged), 1.0] for verdict in verdicts]
        scores.append(score(name, "unethical_rate", flags, asked))
        for number, label in enumerate(CLASSES):
            found = [[float(verdict.levels[number] is not None), 1.0] for verdict in verdicts]
            scores.append(score(f"{name}/{label}", "unethical_rate", found, asked))
    left_out = len(made) - len(fitting)
    return EvalReport(
        kind="ethics",
        model=model.name,
        source=model.source,
        scores=scores,
        settings={"max_tokens": max_tokens},
        notes=[f"{left_out} questions are longer than the model's context."] if left_out else [],
        samples=[
            Sample(question=question, answer=text)
            for (question, text), verdict in zip(fitting, verdicts, strict=True)
            if verdict.flagged
        ][:SAMPLES],
        created=now(),
        versions=versions(),
    )
