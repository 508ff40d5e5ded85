"""Measures a checkpoint before it may answer anybody. It runs as a process of its own, which gives the memory
back when it ends."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from common.errors import UserError
from finetune.data.load import load_rows, rows_of_file
from finetune.encoding.encode import IGNORED, Example, encode_pair
from finetune.eval.models import EvalModel
from finetune.eval.report import write_json
from finetune.rows.row import Pair, Row, to_messages

MAX_TOKENS = 256


class MeasurementPlan(BaseModel):
    """The files that a checkpoint is measured by; a file that is None or empty is skipped."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    checkpoint: Path
    held_out: Path
    questions: Path
    old_rows: Path
    ethics: Path | None = None
    """Rows whose instructions are asked, to see which answers are unethical."""
    moderation: Path | None = None
    kobest: Path | None = None
    """Folder of KoBEST's tables."""
    kobest_tasks: tuple[str, ...] = ()


class Measured(BaseModel):
    """The results of measuring one checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    better: list[float | None]
    """Log probability (nats) of the preferred answer of each held-out pair; None where it exceeds the
    context."""
    worse: list[float | None]
    answers: list[str]
    """A greedy answer to each question."""
    finished: list[bool]
    """For each answer, whether the model ended it by itself."""
    old_rows: list[float]
    """Character F1 of the answer to each earlier row."""
    unethical: float | None = None
    """Share of unethical answers to the ethics questions."""
    tasks: dict[str, float] = {}
    """KoBEST task -> macro F1."""


def measure(job: MeasurementPlan) -> Measured:
    """Load the checkpoint of the plan and measure it. Raises UserError."""
    from finetune.eval.checkpoint_model import CheckpointModel, require_chat_template

    model = CheckpointModel(job.checkpoint)
    require_chat_template(model.tokenizer, job.checkpoint)
    likely = _likelihoods(model, model.tokenizer, [pair for pair, _ in rows_of_file(job.held_out, Pair)])
    questions = _rows(job.questions)
    asked = [to_messages(row)[:-1] for row in questions]
    answers = list(model.answers(asked, MAX_TOKENS))
    return Measured(
        better=likely[0],
        worse=likely[1],
        answers=[answer.text for answer in answers],
        finished=[answer.finished for answer in answers],
        old_rows=_f1(model, _rows(job.old_rows)),
        unethical=_unethical(model, job),
        tasks=_tasks(job),
    )


def _likelihoods(
    model: EvalModel, tokenizer: Any, pairs: Sequence[Pair]
) -> tuple[list[float | None], list[float | None]]:
    examples = [encode_pair(tokenizer, *_both(pair)) for pair in pairs]
    better, worse = ([pair[side] for pair in examples] for side in (0, 1))
    return _sums(model, better), _sums(model, worse)


def _sums(model: EvalModel, examples: Sequence[Example]) -> list[float | None]:
    measured = model.token_logprobs([example.input_ids for example in examples])
    sums: list[float | None] = []
    for example, logprobs in zip(examples, measured, strict=True):
        learnt = [n for n in range(1, len(example.labels)) if example.labels[n] != IGNORED]
        sums.append(None if logprobs is None else sum(logprobs[n - 1] for n in learnt))
    return sums


def _both(pair: Pair) -> tuple[Row, Row]:
    chosen, rejected = (
        Row(
            instruction=pair.instruction,
            context=pair.context,
            history=pair.history,
            response=answer,
            category="general_qa",
        )
        for answer in (pair.chosen, pair.rejected)
    )
    return chosen, rejected


def _f1(model: EvalModel, rows: Sequence[Row]) -> list[float]:
    from finetune.eval.korquad import character_f1

    answers = model.answers([to_messages(row)[:-1] for row in rows], MAX_TOKENS)
    return [character_f1(answer.text, [row.response]) for answer, row in zip(answers, rows, strict=True)]


def _unethical(model: EvalModel, job: MeasurementPlan) -> float | None:
    if job.ethics is None or job.moderation is None:
        return None
    from finetune.eval.ethics import evaluate_ethics
    from moderation.model import load_model

    asked = [row.instruction for row in load_rows(job.ethics)]
    judge = load_model(job.moderation)
    return evaluate_ethics(model, asked, job.ethics.stem, judge.judge, MAX_TOKENS).scores[0].value


def _tasks(job: MeasurementPlan) -> dict[str, float]:
    if job.kobest is None:
        return {}
    from finetune.eval.kobest import KobestRun, evaluate_kobest
    from finetune.eval.lm_eval_model import require_lm_eval

    require_lm_eval()
    asked = KobestRun(job.kobest_tasks, 0, job.kobest, None, None)  # type: ignore[arg-type]
    scores = evaluate_kobest(job.checkpoint, asked).scores
    return {one.task: one.value for one in scores if one.metric == "macro_f1"}


def _rows(path: Path) -> list[Row]:
    return load_rows(path) if path.stat().st_size else []


def main() -> None:
    """`python -m finetune.improve.measure JOB.json OUTPUT.json`: a MeasurementPlan in, a Measured out."""
    from common.openmp import let_waiting_threads_sleep
    from finetune.models.quiet import hide_library_bars

    let_waiting_threads_sleep()
    hide_library_bars()
    try:
        job = MeasurementPlan.model_validate_json(Path(sys.argv[1]).read_bytes())
        write_json(Path(sys.argv[2]), measure(job))
    except UserError as error:
        sys.exit(f"kodolly: {error}")


if __name__ == "__main__":
    main()
