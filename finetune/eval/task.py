"""Any task of lm-eval, for a checkpoint or a served model: KMMLU, HAERAE, CLIcK, HRM8K, KorMedMCQA and
others.

Tasks that rank by log likelihood are asked as plain text, tasks that generate through the chat template.
Prompts, extraction of answers and scores are lm-eval's; added here are local data, intervals and a token
budget for thoughts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from finetune.eval.hub_cache import downloads_are_found
from finetune.eval.intervals import Metric
from finetune.eval.lm_eval_model import (
    SEED,
    ServedEndpoint,
    likelihood_arguments,
    named_failures,
    quiet,
    require_lm_eval,
    tokenizer_and_context,
)
from finetune.eval.report import EvalReport, Sample, Score, hash_texts, now, score, versions

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager  # type: ignore[import-untyped]

METRICS: dict[str, Metric] = {
    "acc": "accuracy",
    "acc_norm": "accuracy_norm",
    "exact_match": "exact_match",
    "contains": "contains",
}
"""lm-eval's metrics that are a mean over items -> ours."""
Tasks = Mapping[str, Any]
"""Task name -> lm-eval's task object."""
Logged = dict[str, Any]
"""lm-eval's log of one item: its question, answer and metrics."""
THOUGHT_END = "</think>"
SHOWN = 20


@dataclass(frozen=True)
class TaskQuestions:
    """Which task is asked, and how."""

    name: str
    """Name of lm-eval's task, group or tag."""
    data: Path | None = None
    """A local directory in place of the task's data set on the hub, with the same layout."""
    definitions: Path | None = None
    """Directory with YAML files of further tasks. Python files beside them are executed."""
    shots: int | None = None
    limit: int | None = None
    """How many items of each task are asked, from the first; None for all."""
    max_tokens: int | None = None
    """Most tokens of an answer with its thought; None: the task's own limit."""
    thinking: bool | None = None
    """Whether the chat template is told to think; None: the template's default."""


def evaluate_task(model: Path | ServedEndpoint, asked: TaskQuestions, batch_size: int = 16) -> EvalReport:
    """The scores of every task that the name stands for, with intervals, and of several tasks together.

    Raises UserError for an unknown name, for missing data, and for scores that are no mean over items.
    """
    require_lm_eval()
    with quiet(), named_failures(model, asked.name, from_hub=asked.data is None), downloads_are_found():
        tasks = _load(asked)
        generated = _generated(tasks, asked.name)
        samples = _run(model, tasks, asked, generated, batch_size)
    scores, left_out = _scores(asked.name, samples)
    if not scores:
        raise UserError(
            f"{asked.name} has no score that is a mean over items ({', '.join(sorted(left_out))}).",
            hint="lm-eval's own command measures it.",
        )
    notes = [f"Without lm-eval's {name}, which has no interval here." for name in sorted(left_out)]
    return EvalReport(
        kind="task",
        model=model.name if isinstance(model, ServedEndpoint) else model.resolve().name,
        source="served" if isinstance(model, ServedEndpoint) else "checkpoint",
        scores=scores,
        settings=_settings(asked, generated),
        notes=notes,
        samples=list(_shown(samples)) if generated else [],
        created=now(),
        versions=versions("lm-eval", "transformers"),
    )


def _settings(asked: TaskQuestions, generated: bool) -> dict[str, object]:
    return {
        "task": asked.name,
        "shots": asked.shots,
        "limit": asked.limit,
        "data": "local" if asked.data else "hub",
        "asked": "chat template" if generated else "log likelihood",
        "max_tokens": asked.max_tokens,
        "thinking": asked.thinking,
    }


def _load(asked: TaskQuestions) -> Tasks:
    """Load the tasks with their data."""
    import datasets  # type: ignore[import-untyped]

    datasets.disable_progress_bars()
    manager = _manager(asked)
    if asked.name not in manager.task_index:
        raise UserError(f"lm-eval has no task {asked.name!r}.", hint=_near(asked.name, manager))
    own = {"dataset_path": str(asked.data.resolve())} if asked.data else None
    # The public loader applies overrides to single tasks alone; this one passes them on to a group's tasks.
    built = manager._factory.build(manager.task_index[asked.name], overrides=own, registry=manager.task_index)
    return dict(manager.load(built if isinstance(built, list) else [built])["tasks"])


def _manager(asked: TaskQuestions) -> "TaskManager":
    """A task manager that knows the name. Reading the thousands of tasks that lm-eval ships takes 14 s, so
    that a single task of the user's own is read without them; a group may name shipped tasks."""
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._index import Kind  # type: ignore[import-untyped]

    if asked.definitions is None:
        return TaskManager()
    own = TaskManager(include_path=str(asked.definitions), include_defaults=False)
    entry = own.task_index.get(asked.name)
    if entry is not None and entry.kind in (Kind.TASK, Kind.PY_TASK):
        return own
    return TaskManager(include_path=str(asked.definitions))


def _near(name: str, manager: "TaskManager") -> str:
    import difflib

    near = difflib.get_close_matches(name, list(manager.task_index), n=3)
    return f"Did you mean {', '.join(near)}?" if near else "`lm-eval ls tasks` lists them."


def _generated(tasks: Tasks, name: str) -> bool:
    kinds = {bool(task.OUTPUT_TYPE == "generate_until") for task in tasks.values()}
    if len(kinds) > 1:
        raise UserError(
            f"{name} holds tasks that are generated and tasks that are ranked.",
            hint=f"Name one of them: {', '.join(list(tasks)[:8])}.",
        )
    return kinds.pop()


def _run(
    model: Path | ServedEndpoint, tasks: Tasks, asked: TaskQuestions, generated: bool, batch_size: int
) -> dict[str, list[Logged]]:
    from lm_eval import simple_evaluate  # type: ignore[import-untyped]
    from lm_eval.tasks import TaskManager

    kind, arguments = _generating(model, asked) if generated else _ranking(model)
    results = simple_evaluate(
        model=kind,
        model_args=arguments,
        tasks=list(tasks.values()),
        task_manager=TaskManager(include_defaults=False),  # reading the list of tasks takes 14 s
        num_fewshot=asked.shots,
        batch_size=1 if kind == "local-chat-completions" else batch_size,
        limit=asked.limit,
        bootstrap_iters=0,
        log_samples=True,
        apply_chat_template=generated,
        gen_kwargs=_generation(model, asked) if generated else None,
        random_seed=SEED,
        numpy_random_seed=SEED,
        torch_random_seed=SEED,
        fewshot_random_seed=SEED,
    )
    assert results is not None  # it is None on ranks other than 0
    return dict(results["samples"])


def _ranking(model: Path | ServedEndpoint) -> tuple[str, dict[str, object]]:
    return likelihood_arguments(model, *tokenizer_and_context(model))


def _generating(model: Path | ServedEndpoint, asked: TaskQuestions) -> tuple[str, dict[str, object]]:
    """(name of lm-eval's model class, its arguments) for generated answers, whose thoughts are removed: a
    server does that itself, for a checkpoint lm-eval does."""
    if isinstance(model, ServedEndpoint):
        kind, arguments = "local-chat-completions", dict(_chat_endpoint(model))
    else:
        kind, arguments = _ranking(model)
        arguments["add_bos_token"] = False  # a chat template writes its start token itself, as for an engine
        if asked.thinking is not None:
            arguments["enable_thinking"] = asked.thinking
    if asked.thinking is not False:
        arguments["think_end_token"] = THOUGHT_END
    return kind, arguments


def _chat_endpoint(model: ServedEndpoint) -> Iterator[tuple[str, object]]:
    from contextlib import closing

    from finetune.eval.served_model import ServedModel, api_root

    with closing(ServedModel(model.url, model.name, model.key)) as server:
        server.check()
    yield "model", model.name
    yield "base_url", f"{api_root(model.url)}/chat/completions"
    yield "header", {"Authorization": f"Bearer {model.key}"} if model.key else {}
    yield "num_concurrent", 8
    yield "max_retries", 5


def _generation(model: Path | ServedEndpoint, asked: TaskQuestions) -> dict[str, object] | None:
    """Generation settings in place of the task's own; None for none."""
    settings: dict[str, object] = {}
    if asked.max_tokens is not None:
        settings["max_gen_toks"] = asked.max_tokens
    if asked.thinking is not None and isinstance(model, ServedEndpoint):
        settings["chat_template_kwargs"] = {"enable_thinking": asked.thinking}
    return settings or None


def _scores(name: str, samples: Mapping[str, Sequence[Logged]]) -> tuple[list[Score], set[str]]:
    """(scores by task and metric, names of lm-eval's metrics that are no mean over items)."""
    found: dict[tuple[str, str], list[Logged]] = {}
    left_out: set[str] = set()
    for task, answers in samples.items():
        for answer in answers:
            kept = [metric for metric in answer.get("metrics", ()) if metric in METRICS]
            left_out.update(set(answer.get("metrics", ())) - set(kept))
            for metric in kept:
                extraction = answer.get("filter", "none")
                label = task if extraction == "none" else f"{task} ({extraction})"
                found.setdefault((label, metric), []).append(answer)
    scores = [_score(task, metric, answers) for (task, metric), answers in found.items()]
    for metric in sorted({metric for _, metric in found}):
        pooled = [answer for (_, one), answers in found.items() if one == metric for answer in answers]
        if len(samples) > 1:
            scores.append(_score(name, metric, pooled))
    return scores, left_out


def _score(task: str, metric: str, answers: Sequence[Logged]) -> Score:
    asked = hash_texts(str(answer["doc_hash"]) for answer in answers)
    return score(task, METRICS[metric], [[float(answer[metric])] for answer in answers], asked)


def _shown(samples: Mapping[str, Sequence[Logged]]) -> Iterator[Sample]:
    answers = [answer for task in samples.values() for answer in task]
    for answer in answers[:SHOWN]:
        given = answer["filtered_resps"]
        yield Sample(
            question=str(answer["arguments"][0][0]),
            wanted=str(answer["target"]),
            answer=str(given[0] if isinstance(given, list) and given else given),
        )
