"""What a run keeps, when it ends, what it logs, and what becomes of rows that are too long."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM

from common.checkpoint import read_card
from common.errors import UserError
from finetune.encoding.encode import IGNORED
from finetune.models.adapter import read_adapter
from finetune.progress import Progress, silent
from finetune.recipes.load import load_recipe
from finetune.recipes.recipe import Recipe
from finetune.rows.row import Row, RowTurn
from finetune.train.run import train
from finetune.train.sequences import gather
from finetune.train.write import LOG_FILE
from tests.support.tiny_training import QUESTIONS, answer, make_base, row, tokenizer_of, write_rows

pytestmark = pytest.mark.slow
QUICK = ("smoke_test=false",)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    make_base(folder)
    return folder


def tune(folder: Path, *settings: str) -> Recipe:
    return load_recipe(folder / "tune.yaml", [*QUICK, *settings])


def log(output: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((output / LOG_FILE).read_text(encoding="utf-8"))
    return entries


# Validation


def test_a_run_that_gets_no_better_ends_early_and_keeps_its_best_state(folder: Path) -> None:
    # Rows that contradict the learnt ones: the better these are learnt, the worse the others become.
    other = [row(n, "held-out") | {"response": "고마워요."} for n in range(4, 8)]
    write_rows(folder / "other.jsonl", other)
    steady = ("warmup=0", "schedule=constant_with_warmup")
    held_out = (f"validation.path={folder / 'other.jsonl'}", "early_stopping=2", "checkpoint_every=3")
    train(tune(folder, *steady, *held_out, "epochs=60"), folder / "early", silent)
    evaluated = [(e["step"], e["eval_loss"]) for e in log(folder / "early") if "eval_loss" in e]
    best_step, best = min(evaluated, key=lambda pair: pair[1])
    last = best_step + 2 * 3
    assert [step for step, _ in evaluated] == list(range(3, last + 1, 3))
    metrics = read_adapter(folder / "early").card.metrics
    assert (metrics["best_step"], metrics["validation_loss"]) == (best_step, best)
    assert metrics["steps"] == last < 60
    train(tune(folder, *steady, f"max_steps={best_step}"), folder / "best", silent)
    kept, best_weights = (
        load_file(folder / name / "adapter_model.safetensors") for name in ("early", "best")
    )
    assert all(torch.equal(kept[name], best_weights[name]) for name in kept)


def test_rows_that_are_held_out_are_not_learnt(folder: Path, tmp_path: Path) -> None:
    recipe = tune(folder, "data.0.split=null", "validation=0.25", "checkpoint_every=epoch")
    rows = gather(recipe, tokenizer_of(folder / "tiny-base"), tmp_path, silent)
    assert rows.validation is not None
    learnt = {tuple(place) for place in rows.train.places.tolist()}
    held_out = {tuple(place) for place in rows.validation.places.tolist()}
    assert (len(learnt), len(held_out), learnt & held_out) == (6, 2, set())


# What a step is


def test_accumulated_passes_are_one_larger_batch(folder: Path) -> None:
    common = ("data.0.split=null", "epochs=4")
    train(tune(folder, *common, "batch_size=8"), folder / "whole", silent)
    train(tune(folder, *common, "batch_size=2", "gradient_accumulation=4"), folder / "parts", silent)
    one, two = ([e["loss"] for e in log(folder / name) if "loss" in e] for name in ("whole", "parts"))
    assert len(one) == 4
    assert two == pytest.approx(one, rel=1e-3)


def test_gradient_checkpointing_changes_no_loss(folder: Path) -> None:
    train(tune(folder, "epochs=4"), folder / "kept", silent)
    train(tune(folder, "epochs=4", "gradient_checkpointing=true"), folder / "again", silent)
    one, two = ([e["loss"] for e in log(folder / name) if "loss" in e] for name in ("kept", "again"))
    assert two == pytest.approx(one, rel=1e-4)


def test_max_steps_takes_the_place_of_epochs(folder: Path) -> None:
    train(tune(folder, "max_steps=3"), folder / "three", silent)
    assert read_adapter(folder / "three").card.metrics["steps"] == 3


def test_full_fine_tuning_changes_every_layer_and_writes_a_checkpoint(folder: Path) -> None:
    train(tune(folder, "method=full", "learning_rate=3e-3", "epochs=40"), folder / "full", silent)
    card = read_card(folder / "full")
    assert card is not None
    assert (card.method, card.base_model) == ("full", "tiny-base")
    before = AutoModelForCausalLM.from_pretrained(folder / "tiny-base", dtype=torch.float32)
    after = AutoModelForCausalLM.from_pretrained(folder / "full", dtype=torch.float32)
    weights = after.state_dict()
    same = [name for name, value in before.state_dict().items() if torch.equal(value, weights[name])]
    assert not [name for name in same if name.endswith(".weight")]
    asked = [answer(after, tokenizer_of(folder / "full"), QUESTIONS[n]) for n in (4, 7)]
    assert asked == [("마마마", True), ("아아아", True)]


def test_a_loss_that_is_no_number_ends_the_run_with_a_word(folder: Path) -> None:
    with pytest.raises(UserError, match="infinite or not a number") as refused:
        train(tune(folder, "method=full", "learning_rate=1e18", "epochs=6"), folder / "nan", silent)
    assert "Lower learning_rate" in str(refused.value.hint)
    assert not (folder / "nan").exists()


# Curves


def test_tensorboard_has_the_curve_beside_the_output(folder: Path) -> None:
    train(tune(folder, "report_to=[tensorboard]", "epochs=5"), folder / "seen", silent)
    events = EventAccumulator(str(folder / "seen.logs")).Reload()
    drawn = [event.value for event in events.Scalars("train/loss")]
    assert drawn == pytest.approx([e["loss"] for e in log(folder / "seen") if "loss" in e], rel=1e-4)
    assert {"train/learning_rate", "train/grad_norm"} <= set(events.Tags()["scalars"])


def test_progress_tells_epoch_loss_and_time_left(folder: Path) -> None:
    told: list[Progress] = []
    train(tune(folder, "epochs=3"), folder / "told", told.append)
    training = [progress for progress in told if progress.stage.endswith("training")]
    assert training[-1].done == 1.0
    assert training[-1].detail.startswith("epoch 3/3, loss ")
    assert all(a.done <= b.done for a, b in itertools.pairwise(training))
    assert training[1].seconds_left is not None


# Rows that are too long


LONG = Row(
    instruction="탑은 언제 세웠나요?",
    context="옛날 이야기가 이어집니다. " * 12
    + "탑은 신라 때 세웠습니다. "
    + "다른 이야기도 이어집니다. " * 12,
    response="신라 때 세웠습니다.",
    category="closed_qa",
    history=(
        RowTurn(role="system", content="짧게 답하세요."),
        RowTurn(role="user", content="처음 물음입니다. " * 6),
        RowTurn(role="assistant", content="처음 대답입니다. " * 6),
    ),
)


def encoded(folder: Path, scratch: Path, *settings: str) -> tuple[list[str], Any]:
    """(decoded sequences, what became of the rows) of LONG and a short row."""
    data = scratch / "long.jsonl"
    data.write_text(
        LONG.model_dump_json() + "\n" + json.dumps(row(1, "x"), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    tokenizer = tokenizer_of(folder / "tiny-base")
    recipe = tune(folder, f"data.0.path={data}", "data.0.split=null", *settings)
    rows = gather(recipe, tokenizer, scratch, silent)
    texts = []
    for index in range(len(rows.train)):
        ids, labels = rows.train.sequence(index)
        assert len(ids) <= recipe.max_length
        assert ids[-1] == labels[-1] == tokenizer.eos_token_id
        learnt = tokenizer.decode(ids[labels != IGNORED])
        assert learnt.endswith("<|endoftext|>")
        texts.append(tokenizer.decode(ids))
    return texts, rows


def test_a_window_keeps_question_system_message_answer_and_its_place_in_the_context(
    folder: Path, tmp_path: Path
) -> None:
    texts, rows = encoded(folder, tmp_path, "max_length=256", "over_length=window")
    assert (rows.rows, rows.windowed, rows.too_long) == (2, 1, 0)
    cut = texts[0]
    assert cut.startswith("짧게 답하세요.")
    assert "탑은 언제 세웠나요?" in cut
    assert "탑은 신라 때 세웠습니다." in cut.partition("Input:\n")[2]
    assert cut.endswith("### Response:\n신라 때 세웠습니다.<|endoftext|>")
    assert "처음 물음" not in cut
    assert cut.count("이야기") < 24


def test_drop_leaves_a_long_row_out_and_error_refuses_it(folder: Path, tmp_path: Path) -> None:
    texts, rows = encoded(folder, tmp_path, "max_length=256")
    assert (len(texts), rows.too_long) == (1, 1)
    with pytest.raises(UserError, match="1 of 2 rows are longer than max_length=256"):
        encoded(folder, tmp_path, "max_length=256", "over_length=error")


def test_a_row_whose_answer_alone_is_too_long_is_never_cut(folder: Path, tmp_path: Path) -> None:
    texts, rows = encoded(folder, tmp_path, "max_length=62", "over_length=window")
    assert rows.too_long == 1
    assert len(texts) == 1
