"""Method embed: a model of vectors learns from questions and passages, and vLLM serves what was trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file
from transformers import Qwen3Config, Qwen3Model, XLMRobertaConfig, XLMRobertaModel

from common.checkpoint import read_card
from common.errors import UserError
from finetune.embedding import run, serving_proof
from finetune.embedding.pairs import as_dataset, gather_questions
from finetune.models.embedder import load_embedder, pooling_of
from finetune.progress import Progress, Report
from finetune.recipes.load import load_any_recipe
from finetune.recipes.recipe import EmbeddingTuning, validate_any_recipe
from kodolly.cli import root
from tests.support.killed_training import killed_mid_run
from tests.support.tiny_families import byte_level_tokenizer
from worker.model_dir import describe_model

pytestmark = pytest.mark.slow

PLACES = ("시장", "공원", "역", "학교", "도서관", "박물관", "우체국", "병원")
CITIES = ("서울", "부산", "대구", "광주")
RECIPE = """
name: my-vectors
method: embed
base: base
licence: MIT
data: [{path: rows.jsonl}]
max_length: 100
batch_size: 8
epochs: 6
learning_rate: 1.0e-3
dtype: float32
checkpoint_every: never
report_to: []
embed: {query_prompt: "query: ", passage_prompt: "passage: "}
"""
ADAPTER = ("lora.rank=16", "lora.alpha=32", "learning_rate=1.0e-2")
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 258,
    "initializer_range": 0.1,
}


def question_rows() -> list[dict[str, Any]]:
    names = [f"{city} {place}" for city in CITIES for place in PLACES]
    rows: list[dict[str, Any]] = []
    for at, name in enumerate(names):
        rows.append(
            {"question": f"{name}은 몇 시에 여나요?", "passage": f"{name}은 아침 {6 + at % 5}시에 엽니다."}
        )
        if at % 2:
            rows[-1]["negatives"] = [f"{name} 옆에는 식당이 많습니다."]
    return rows


def write_project(folder: Path, kind: str = "encoder") -> Path:
    """A tiny base with random weights, rows and a recipe; returns the recipe's path."""
    torch.manual_seed(0)
    rows = question_rows()
    tokenizer = byte_level_tokenizer([row["passage"] for row in rows], 500)
    tokenizer.pad_token = tokenizer.eos_token
    model: Any
    if kind == "encoder":
        ends: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
        config = XLMRobertaConfig(vocab_size=512, type_vocab_size=1, **ends, **SIZES)
        model = XLMRobertaModel(config)  # type: ignore[no-untyped-call]
    else:
        model = Qwen3Model(Qwen3Config(vocab_size=512, num_key_value_heads=1, head_dim=32, **SIZES))
    model.save_pretrained(folder / "base")
    if kind != "encoder":
        file = folder / "base" / "config.json"
        values = json.loads(file.read_text(encoding="utf-8")) | {"architectures": ["Qwen3ForCausalLM"]}
        file.write_text(json.dumps(values), encoding="utf-8")
    tokenizer.save_pretrained(folder / "base")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.yaml"


def kodolly(*words: str) -> Result:
    return CliRunner().invoke(root, list(words))


def recipe_of(folder: Path, **more: object) -> EmbeddingTuning:
    values = {"name": "x", "method": "embed", "base": "base", "data": [{"path": folder / "rows.jsonl"}]}
    recipe = validate_any_recipe({**values, **more})
    assert isinstance(recipe, EmbeddingTuning)
    return recipe


@pytest.mark.timeout(300)
def test_an_encoder_learns_and_vllm_gives_its_vectors(tmp_path: Path) -> None:
    """By an adapter, which is merged; the best state of the run is what is kept."""
    recipe, output = write_project(tmp_path), tmp_path / "trained"
    settings = ("validation=0.3", "checkpoint_every=epoch", *ADAPTER)
    done = kodolly("train", str(recipe), *settings, "--output", str(output))
    assert done.exit_code == 0, (done.output, done.exception)
    card = read_card(output)
    assert card is not None
    assert card.embedding is not None
    assert (card.kind, card.method, card.embedding.pooling) == ("embedding", "embed", "mean")
    assert (card.embedding.query_prompt, card.embedding.passage_prompt) == ("query: ", "passage: ")
    assert card.metrics["serving_vectors"] == 2 * run.PROVEN, done.output
    assert card.metrics["ndcg"] > card.metrics["base_ndcg"]
    assert "before and after" in done.output
    assert 'embedding_query_prefix: "query: "' in done.output
    assert describe_model(output)[0].kind == "embedding"
    measured = kodolly("eval", "retrieval", str(tmp_path / "rows.jsonl"), "--model", str(output))
    assert measured.exit_code == 0, measured.output
    assert "ndcg" in measured.output


def test_a_model_that_writes_gets_the_last_tokens_vector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_proof, "is_installed", lambda _name: False)
    recipe, output = write_project(tmp_path, "decoder"), tmp_path / "trained"
    done = kodolly("train", str(recipe), "epochs=1", "embed.mini_batch=4", "--output", str(output))
    assert done.exit_code == 0, (done.output, done.exception)
    card = read_card(output)
    assert card is not None
    assert card.embedding is not None
    assert (card.embedding.pooling, card.metrics["serving_vectors"]) == ("lasttoken", 0)
    assert "vLLM is not installed" in done.output
    assert pooling_of(load_embedder(output)).pooling_mode == "lasttoken"


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout draws random numbers, and a state is written in the middle of an epoch."""
    monkeypatch.setattr(serving_proof, "is_installed", lambda _name: False)
    recipe, straight, killed = write_project(tmp_path), tmp_path / "straight", tmp_path / "killed"
    settings = ("epochs=12", "checkpoint_every=6")
    assert kodolly("train", str(recipe), *settings, "--output", str(straight)).exit_code == 0
    killed_mid_run(recipe, killed, *settings)
    done = kodolly("train", str(recipe), *settings, "--output", str(killed))
    assert done.exit_code == 0, (done.output, done.exception)
    assert "going on after step" in done.output
    one, two = (load_file(output / "model.safetensors") for output in (straight, killed))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


class Stopped(Exception):
    """In the middle of a run."""


def test_an_adapter_goes_on_to_the_same_merged_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_proof, "is_installed", lambda _name: False)
    settings = ["checkpoint_every=6", "epochs=4", "lora.dropout=0.1", *ADAPTER]
    recipe = load_any_recipe(write_project(tmp_path), settings)
    assert isinstance(recipe, EmbeddingTuning)
    said: list[str] = []

    def trained(output: Path, report: Report) -> dict[str, torch.Tensor]:
        run.train_embedding(recipe, output, report, restart=False, dry_run=False, show=said.append)
        return load_file(output / "model.safetensors")

    def stopping(progress: Progress) -> None:
        if 0.6 < progress.done < 1:
            raise Stopped

    straight = trained(tmp_path / "straight", lambda _: None)
    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", stopping)
    resumed = trained(tmp_path / "stopped", lambda progress: said.append(progress.detail))
    assert any("going on after step" in line for line in said)
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    base = load_file(tmp_path / "base" / "model.safetensors")
    assert base.keys() == straight.keys()
    embeddings = "embeddings.word_embeddings.weight"
    changed = {name for name in base if not torch.equal(base[name], straight[name])}
    assert embeddings in base
    assert embeddings not in changed
    assert any("query" in name for name in changed)


def test_other_vectors_than_vllms_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, output = write_project(tmp_path), tmp_path / "trained"
    monkeypatch.setattr(serving_proof, "vllm_server", _nothing)
    monkeypatch.setattr(
        serving_proof, "_embedded", lambda _vllm, texts: torch.ones(len(texts), 64).numpy() / 8
    )
    done = kodolly("train", str(recipe), "epochs=1", "--output", str(output))
    assert isinstance(done.exception, UserError)
    assert "vLLM gives other vectors than training" in str(done.exception)
    assert not output.exists()


def _nothing(*_asked: object) -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_negatives_are_filled_up_and_no_passage_of_a_question_is_held_against_it(tmp_path: Path) -> None:
    write_project(tmp_path)
    recipe = recipe_of(tmp_path, validation=0.3)
    rows = gather_questions(recipe)
    assert rows.held_out
    assert not {row.passage for row in rows.held_out} & {row.passage for row in rows.train}
    made = as_dataset(rows.train, recipe)
    assert made.column_names == ["question", "passage", "negative_1"]
    assert all(one["negative_1"] != one["passage"] for one in made)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"template": "dolly"}, "writes no answers"),
        ({"lora": {"plus": 16}}, "takes no `lora.plus`"),
        ({"gradient_accumulation": 2}, "takes no `gradient_accumulation`"),
        ({"batch_size": 1}, "batch_size 2 or more"),
    ],
)
def test_keys_about_answers_are_refused(tmp_path: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe_of(tmp_path, **keys)


def test_a_base_that_vllm_would_serve_otherwise_is_refused(tmp_path: Path) -> None:
    write_project(tmp_path)
    model = load_embedder(tmp_path / "base")
    pooling_of(model).pooling_mode = "max"
    model.save_pretrained(str(tmp_path / "max"), create_model_card=False)
    with pytest.raises(UserError, match="pooling 'max', which vLLM does not serve"):
        load_embedder(tmp_path / "max")
