"""Any task of lm-eval: which of its results become scores, and what is refused. Its runs are in
test_finetune_eval_models.py, beside vLLM."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from common.errors import UserError
from finetune.eval import task
from finetune.eval.lm_eval_model import ServedEndpoint, named_failures
from finetune.eval.task import TaskQuestions, _generated, _generating, _generation, _scores
from kodolly.cli import root


def answer(number: int, extraction: str = "none", **metrics: Any) -> dict[str, Any]:
    return {"doc_hash": f"d{number}", "filter": extraction, "metrics": list(metrics), **metrics}


def test_each_task_has_its_scores_and_a_group_the_pooled_one() -> None:
    samples = {
        "law": [answer(0, acc=1.0), answer(1, acc=0.0)],
        "art": [answer(2, acc=1.0), answer(3, acc=1.0)],
    }
    scores, left_out = _scores("kmmlu", samples)
    assert [(one.task, one.metric, one.value, one.n) for one in scores] == [
        ("law", "accuracy", 0.5, 2),
        ("art", "accuracy", 1.0, 2),
        ("kmmlu", "accuracy", 0.75, 4),
    ]
    assert left_out == set()
    assert len({one.items_hash for one in scores}) == 3


def test_ways_to_read_an_answer_stand_apart_and_what_is_no_mean_is_named() -> None:
    samples = {
        "gsm": [
            answer(0, "strict-match", exact_match=0.0, bleu=(1, 2)),
            answer(0, "flexible-extract", exact_match=1.0, bleu=(1, 2)),
        ]
    }
    scores, left_out = _scores("gsm", samples)
    assert {one.task: one.value for one in scores} == {
        "gsm (strict-match)": 0.0,
        "gsm (flexible-extract)": 1.0,
    }
    assert left_out == {"bleu"}


def test_a_group_of_both_kinds_is_refused() -> None:
    tasks = {
        "a": SimpleNamespace(OUTPUT_TYPE="generate_until"),
        "b": SimpleNamespace(OUTPUT_TYPE="multiple_choice"),
    }
    with pytest.raises(UserError, match="generated and tasks that are ranked") as refused:
        _generated(tasks, "mixed")
    assert "a, b" in (refused.value.hint or "")


def test_a_thought_has_a_budget_and_a_switch() -> None:
    served = ServedEndpoint("http://127.0.0.1:1", "m", "", None)
    asked = TaskQuestions("t", max_tokens=8192, thinking=True)
    assert _generation(served, asked) == {
        "max_gen_toks": 8192,
        "chat_template_kwargs": {"enable_thinking": True},
    }
    assert _generation(Path("m"), asked) == {"max_gen_toks": 8192}
    assert _generation(served, TaskQuestions("t")) is None


@pytest.mark.parametrize("thinking", [None, True, False])
def test_a_checkpoint_gets_no_second_start_token_and_its_thought_is_cut(
    monkeypatch: pytest.MonkeyPatch, thinking: bool | None
) -> None:
    plain: dict[str, object] = {"pretrained": "m", "add_bos_token": True}
    monkeypatch.setattr(task, "_ranking", lambda model: ("hf", dict(plain)))
    kind, arguments = _generating(Path("m"), TaskQuestions("t", thinking=thinking))
    assert (kind, arguments["add_bos_token"]) == ("hf", False)
    assert arguments.get("think_end_token") == (None if thinking is False else "</think>")
    assert arguments.get("enable_thinking") is thinking


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match="Nothing answers"):
        _generating(ServedEndpoint("http://127.0.0.1:1", "m", "", None), TaskQuestions("t"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["haerae", "m", "--hub", "--data", "."], "not from both"),
        (["haerae", "no-such-model"], "no checkpoint directory"),
        (["haerae", "m", "--thinking", "maybe"], "maybe"),
    ],
)
def test_what_contradicts_itself_is_refused(options: list[str], words: str) -> None:
    ran = CliRunner().invoke(root, ["eval", "task", *options])
    assert ran.exit_code != 0
    assert words in f"{ran.output}{ran.exception}"


def test_data_that_are_not_here_are_said_with_the_two_ways_to_get_them() -> None:
    with pytest.raises(UserError) as caught, named_failures(Path("m"), "haerae", from_hub=True):
        raise ConnectionError("Couldn't reach 'HAERAE-HUB/HAE_RAE_BENCH' on the Hub (OfflineModeIsEnabled)")
    assert str(caught.value).startswith("The data of haerae are not in the hub's cache on this machine.")
    assert "--hub" in (caught.value.hint or "")
    assert "--data" in (caught.value.hint or "")
