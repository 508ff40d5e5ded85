"""KoBEST through lm-eval, for a checkpoint or a served model, with the same prompts, tokens and scores.

Prompts, few-shot formatting and log likelihoods are lm-eval's `kobest_*` tasks. Added here are local tables,
equal token sequences for both kinds of model (start token, room in the context) and intervals.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from finetune.eval.kobest_data import KobestTask, Tables, find_tables, read_table, write_jsonl
from finetune.eval.lm_eval_model import (
    SEED,
    ServedEndpoint,
    likelihood_arguments,
    named_failures,
    quiet,
    require_lm_eval,
    tokenizer_and_context,
)
from finetune.eval.report import EvalReport, Score, hash_texts, now, score, versions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


HUB = "skt/kobest_v1"


@dataclass(frozen=True)
class KobestRun:
    """Which items are asked, and how."""

    tasks: tuple[KobestTask, ...]
    shots: int
    data: Path | None
    """Folder of KoBEST's tables; None: the data set on the hub, which needs the network unless it is
    cached."""
    split: str | None = None
    limit: int | None = None
    """How many items of each task are asked, from the first; None for all."""


def evaluate_kobest(model: Path | ServedEndpoint, questions: KobestRun, batch_size: int = 16) -> EvalReport:
    """Accuracy and macro F1 of every task, with intervals. Raises UserError."""
    require_lm_eval()
    if questions.data is not None:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the libraries read it when they are imported, just below
        os.environ["HF_DATASETS_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory(prefix="kodolly-kobest-") as folder, quiet():
        tasks, split, notes = _tasks(questions, Path(folder))
        tokenizer, context = tokenizer_and_context(model)
        samples = _run(model, tokenizer, context, tasks, questions, batch_size)["samples"]
    by_task = {task: samples[f"kobest_{task}"] for task in questions.tasks}
    for task, asked in by_task.items():
        if cut := sum(_is_cut(sample, tokenizer, context) for sample in asked):
            notes.append(
                f"{task}: {cut} of {len(asked)} items are longer than the model's context ({context} tokens) "
                "and lost their beginning; ask with fewer shots."
            )
    scores = [made for task, asked in by_task.items() for made in _scores(task, asked)]
    return EvalReport(
        kind="kobest",
        model=model.name if isinstance(model, ServedEndpoint) else model.resolve().name,
        source="served" if isinstance(model, ServedEndpoint) else "checkpoint",
        scores=scores,
        settings={
            "shots": questions.shots,
            "split": split,
            "limit": questions.limit,
            "data": "local tables" if questions.data else HUB,
            "prompts": "lm-eval kobest 1.0",
        },
        notes=notes,
        created=now(),
        versions=versions("lm-eval", "transformers"),
    )


def _tasks(questions: KobestRun, folder: Path) -> tuple[list[dict[str, object]], str, list[str]]:
    """(lm-eval's task configurations, split, notes)."""
    import lm_eval.tasks  # type: ignore[import-untyped]
    from lm_eval.tasks._yaml_loader import load_yaml  # type: ignore[import-untyped]
    from lm_eval.tasks.kobest.utils import macro_f1_score  # type: ignore[import-untyped]

    own = Path(lm_eval.tasks.__file__).parent / "kobest"

    # With its own list of metrics lm-eval would fetch the code of F1 from the hub.
    metrics = [
        {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
        {"metric": "f1", "aggregation": macro_f1_score, "higher_is_better": True},
    ]
    configs: list[dict[str, object]] = []
    notes: list[str] = []
    splits: list[str] = []
    for task in questions.tasks:
        extra = [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}]
        config: dict[str, object] = {
            **load_yaml(own / f"kobest_{task}.yaml", resolve_func=True),
            "metric_list": metrics + (extra if task == "hellaswag" else []),
        }
        if questions.data is not None:
            tables = find_tables(questions.data, task, questions.split)
            config |= _local(tables, questions.shots, folder)
            splits.append(tables.split)
            if questions.shots and tables.examples is None:
                notes.append(
                    f"{task}: no train table, so the shots come from the other items of {tables.split}."
                )
        else:
            splits.append(questions.split or "test")
            if questions.split == "dev":
                config |= {"test_split": "validation"}
        configs.append(config)
    if "dev" in splits:
        notes.append("Dev tables; published figures are of the test tables.")
    return configs, "+".join(dict.fromkeys(splits)), notes


def _local(tables: Tables, shots: int, folder: Path) -> dict[str, object]:
    task, examples = tables.task, tables.examples
    items = read_table(tables.questions, task)
    files = {"test": str(write_jsonl(items, folder / f"{task}-test.jsonl"))}
    if examples is not None:
        items = read_table(examples, task)
        files["train"] = str(write_jsonl(items, folder / f"{task}-train.jsonl"))
    if shots >= len(items):
        raise UserError(f"{examples or tables.questions} holds too few items for {shots} shots.")
    return {
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
        "training_split": "train" if examples else None,
        "validation_split": None,
        "fewshot_split": "train" if examples else "test",
    }


def _is_cut(sample: dict[str, Any], tokenizer: "PreTrainedTokenizerBase", context: int) -> bool:
    """Whether one of the item's texts exceeds the context, so that lm-eval cut off its beginning."""
    texts = ("".join(request) for request in sample["arguments"])
    return any(len(tokenizer(text)["input_ids"]) > context - 1 for text in texts)


def _run(
    model: Path | ServedEndpoint,
    tokenizer: "PreTrainedTokenizerBase",
    context: int,
    tasks: list[dict[str, object]],
    questions: KobestRun,
    batch_size: int,
) -> dict[str, Any]:
    import datasets  # type: ignore[import-untyped]
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()  # it draws a bar for every table; lm-eval's own shows the progress

    kind, arguments = likelihood_arguments(model, tokenizer, context)
    with named_failures(model, "KoBEST", from_hub=questions.data is None):
        results = simple_evaluate(
            model=kind,
            model_args=arguments,
            tasks=list(tasks),
            task_manager=TaskManager(include_defaults=False),  # reading its thousands of tasks takes 14 s
            num_fewshot=questions.shots,
            batch_size=batch_size,
            limit=questions.limit,
            bootstrap_iters=0,
            log_samples=True,
            random_seed=SEED,
            numpy_random_seed=SEED,
            torch_random_seed=SEED,
            fewshot_random_seed=SEED,
        )
    assert results is not None  # it is None on ranks other than 0
    return dict(results)


def _scores(task: KobestTask, samples: Sequence[dict[str, Any]]) -> Iterator[Score]:
    samples = sorted(samples, key=lambda sample: int(sample["doc_id"]))
    asked = hash_texts(str(sample["doc_hash"]) for sample in samples)
    yield score(task, "macro_f1", [list(sample["f1"]) for sample in samples], asked)
    yield score(task, "accuracy", [[float(sample["acc"])] for sample in samples], asked)
    if "acc_norm" in samples[0]:
        yield score(task, "accuracy_norm", [[float(sample["acc_norm"])] for sample in samples], asked)
