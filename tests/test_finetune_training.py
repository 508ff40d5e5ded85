"""Training, merging and refusing, with a model small enough to learn a few rows in seconds."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from common.chat_template import load_template
from common.checkpoint import read_card
from common.errors import UserError
from finetune.data.load import load_rows
from finetune.encoding.encode import IGNORED, encode_row
from finetune.encoding.text_ids import decoded
from finetune.merge.lora import merge
from finetune.models.adapter import ADAPTER_FILE
from finetune.models.tokenizer import train_tokenizer
from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.rows.fast_row import is_blank
from finetune.rows.row import Row
from finetune.train.run import train
from tests.support.processes import kodolly
from tests.support.tiny_training import answer, make_base, tokenizer_of

pytestmark = pytest.mark.slow

DEMO = Path(__file__).parents[1] / "finetune" / "demo"

LORA = """
name: tiny-dolly
method: lora
base: tiny-base
data: [{path: rows.jsonl, split: tune}]
replay: [{path: rows.jsonl, split: base}]
epochs: 60
learning_rate: 1.0e-2
batch_size: 8
lora: {rank: 32, alpha: 32}
checkpoint_every: never
report_to: []
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base, an adapter on it, and the merged model."""
    folder = tmp_path_factory.mktemp("runs")
    make_base(folder)
    (folder / "tune.yaml").write_text(LORA, encoding="utf-8")
    train(load_recipe(folder / "tune.yaml"), folder / "adapter", silent)
    merge(folder / "adapter", folder / "tiny-dolly", silent)
    return folder


def answer_of(directory: Path, question: str) -> tuple[str, bool]:
    """(greedy answer, whether it ended by the end token)."""
    return answer(AutoModelForCausalLM.from_pretrained(directory), tokenizer_of(directory), question)


def test_the_tuned_model_knows_new_and_old_rows_and_stops(runs: Path) -> None:
    for known in load_rows(runs / "rows.jsonl"):
        assert answer_of(runs / "tiny-dolly", known.instruction) == (known.response, True)
    new = load_rows(runs / "rows.jsonl", "tune")
    assert all(answer_of(runs / "tiny-base", known.instruction)[0] != known.response for known in new)


def test_the_merged_checkpoint_is_complete(runs: Path) -> None:
    directory = runs / "tiny-dolly"
    card = read_card(directory)
    assert card is not None
    assert (card.name, card.base_model, card.method, card.licence) == (
        "tiny-dolly",
        "tiny-base",
        "lora",
        "Apache-2.0",
    )
    assert [(source.path, source.rows) for source in card.data] == [
        ("rows.jsonl#tune", 4),
        ("rows.jsonl#base", 4),
    ]
    assert card.metrics["merge_argmax_agreement"] >= 0.99
    assert (directory / "chat_template.jinja").read_text(encoding="utf-8") == load_template("dolly")
    generation = json.loads((directory / "generation_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(directory)
    assert generation["eos_token_id"] == [tokenizer.eos_token_id]
    assert generation["pad_token_id"] == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert json.loads((directory / "config.json").read_text())["dtype"] == "bfloat16"
    assert {path.suffix for path in directory.iterdir()} == {".json", ".jinja", ".safetensors"}


def test_a_merge_into_another_base_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "adapter", tmp_path / "adapter")
    shutil.copytree(runs / "tiny-dolly", tmp_path / "other-base")
    card = json.loads((tmp_path / "adapter" / ADAPTER_FILE).read_text(encoding="utf-8"))
    card["base"] = str(tmp_path / "other-base")
    (tmp_path / "adapter" / ADAPTER_FILE).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(UserError, match="is not the base that this adapter was trained on"):
        merge(tmp_path / "adapter", tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_a_merge_that_would_render_other_tokens_is_refused(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "adapter", tmp_path / "adapter")
    card = json.loads((tmp_path / "adapter" / ADAPTER_FILE).read_text(encoding="utf-8"))
    card["probes"][0]["input_ids"][3] += 1
    (tmp_path / "adapter" / ADAPTER_FILE).write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(UserError, match="other tokens than training saw"):
        merge(tmp_path / "adapter", tmp_path / "out", silent)
    assert not (tmp_path / "out").exists()


def test_rows_that_are_too_long_are_left_out_or_refused_and_never_cut(runs: Path, tmp_path: Path) -> None:
    told: list[str] = []
    recipe = load_recipe(runs / "base.yaml", ["max_length=40", "epochs=1"])
    train(recipe, tmp_path / "out", lambda progress: told.append(progress.detail))
    assert any(re.search(r"\d sequences, \d longer than 40 tokens left out", detail) for detail in told), told
    with pytest.raises(UserError, match="longer than max_length=40"):
        train(
            load_recipe(runs / "base.yaml", ["max_length=40", "over_length=error"]), tmp_path / "no", silent
        )
    assert not (tmp_path / "no").exists()


TOKENIZER = train_tokenizer(["### Instruction:\n안녕하세요? ### Response:\n반갑습니다."] * 3, 400, 256)
TOKENIZER.chat_template = load_template("dolly")
hangul = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda text: not is_blank(text) and "<|" not in text
)


@settings(max_examples=150, deadline=None)
@given(hangul, hangul)
def test_the_loss_covers_exactly_the_answer_and_its_end_token(question: str, response: str) -> None:
    example = encode_row(TOKENIZER, Row(instruction=question, response=response, category="open_qa"))
    learnt = [label for label in example.labels if label != IGNORED]
    assert decoded(TOKENIZER, learnt) == response.strip() + "<|endoftext|>"
    text = decoded(TOKENIZER, example.input_ids)
    assert text.endswith(f"### Instruction:\n{question}\n\n### Response:\n{response.strip()}<|endoftext|>")


def test_the_dolly_template_byte_for_byte() -> None:
    messages = [
        {"role": "user", "content": "가"},
        {"role": "assistant", "content": "나"},
        {"role": "user", "content": "다\n\nInput:\n라"},
    ]
    intro = (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request."
    )
    rendered = TOKENIZER.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    turns = "\n\n### Instruction:\n가\n\n### Response:\n나<|endoftext|>"
    assert rendered == f"{intro}{turns}\n\n### Instruction:\n다\n\nInput:\n라\n\n### Response:\n"
    system = [{"role": "system", "content": "짧게 답하세요."}, *messages[:1]]
    rendered = TOKENIZER.apply_chat_template(system, tokenize=False, add_generation_prompt=True)
    assert rendered == "짧게 답하세요.\n\n### Instruction:\n가\n\n### Response:\n"


def test_a_special_token_written_out_in_a_row_is_refused() -> None:
    bad = Row(instruction="질문", response="끝<|endoftext|>", category="open_qa", meta={"id": "row-9"})
    with pytest.raises(UserError, match="row-9 contains the special token"):
        encode_row(TOKENIZER, bad)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "none.yaml"], "none.yaml cannot be read"),
        (["train", str(DEMO / "base.yaml"), "epoch=1"], "Did you mean 'epochs'?"),
        (["train", str(DEMO / "base.yaml"), "epochs"], "key=value"),
        (["train", str(DEMO / "tune.yaml")], "demo-base"),
        (["merge", "lora", "none", "out"], "is not a whole adapter"),
        (["merge", "lora", "none"], "Missing argument"),
    ],
)
def test_bad_input_on_the_command_line_is_one_clear_line(tmp_path: Path, args: list[str], words: str) -> None:
    done = subprocess.run(kodolly(*args), capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_run_that_is_killed_leaves_no_checkpoint(runs: Path, tmp_path: Path) -> None:
    argv = kodolly("train", str(runs / "base.yaml"), "epochs=5000", "--output", str(tmp_path / "out"))
    with subprocess.Popen(argv, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"training" in line:
                break
        process.kill()
    assert not (tmp_path / "out").exists()
    train(load_recipe(runs / "base.yaml", ["epochs=1"]), tmp_path / "out", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
