"""`kodolly merge models`: mergekit's methods give complete checkpoints that transformers and vLLM load."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoTokenizer

from common.chat_template import load_template
from common.checkpoint import read_card
from common.errors import UserError
from finetune.merge.mergekit import merge_models
from finetune.progress import silent
from tests.support.merge_stage import load, make_source

pytestmark = pytest.mark.slow
PROMPTS: dict[str, Any] = {
    "gate_mode": "hidden",
    "dtype": "float32",
    "experts_per_token": 2,
    "base_model": "llama-1",
    "experts": [
        {"source_model": "llama-1", "positive_prompts": ["요리를 어떻게 하나요?"]},
        {"source_model": "llama-2", "positive_prompts": ["수학 문제를 풀어 주세요."]},
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models `neox-1`, `neox-2`, `llama-1` and `llama-2`."""
    path = tmp_path_factory.mktemp("models")
    for number in (1, 2):
        make_source(path / f"neox-{number}", "GPTNeoX", number)
        make_source(path / f"llama-{number}", "Llama", number)
    return path


def merged(folder: Path, tmp_path: Path, values: dict[str, Any], name: str = "out", **options: Any) -> Path:
    """Merge by a configuration that lies beside the models; returns the result."""
    config = folder / f"{tmp_path.name}.yaml"
    config.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    merge_models(config, tmp_path / name, silent, **options)
    return tmp_path / name


def two(kind: str, method: str, parameters: dict[str, Any], **each: Any) -> dict[str, Any]:
    """mergekit's configuration for two models of one kind."""
    models = [
        {"model": f"{kind}-{n}", "parameters": each} if each else {"model": f"{kind}-{n}"} for n in (1, 2)
    ]
    return {
        "merge_method": method,
        "base_model": f"{kind}-1",
        "models": models,
        "parameters": parameters,
        "dtype": "float32",
    }


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return {name: t for path in directory.glob("*.safetensors") for name, t in load_file(path).items()}


@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_a_linear_merge_is_the_mean_and_a_complete_checkpoint(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    out = merged(folder, tmp_path, two(kind, "linear", {}, weight=1.0), name="between")
    one, other, found = (
        load(path).state_dict() for path in (folder / f"{kind}-1", folder / f"{kind}-2", out)
    )
    for name, weight in found.items():
        torch.testing.assert_close(weight, (one[name] + other[name]) / 2, rtol=1e-5, atol=1e-6)
    card = read_card(out)
    assert card is not None
    assert (card.name, card.method, card.licence, card.template, card.dtype) == (
        "between",
        "merge",
        "Apache-2.0",
        "dolly",
        "float32",
    )
    assert [source.name for source in card.sources] == [f"{kind}-1", f"{kind}-2"]
    assert card.recipe["mergekit"]["models"][1]["model"] == f"{kind}-2"
    assert str(folder) not in (out / "kodolly.json").read_text()
    assert card.parameters == sum(p.numel() for p in load(out).parameters())
    assert (out / "chat_template.jinja").read_text(encoding="utf-8") == load_template("dolly")
    tokenizer = AutoTokenizer.from_pretrained(out)
    generation = json.loads((out / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [tokenizer.eos_token_id]
    assert {path.suffix for path in out.iterdir()} == {".json", ".jinja", ".safetensors"}


@pytest.mark.parametrize("kind", ["neox", "llama"])
def test_slerp_goes_from_one_model_to_the_other(folder: Path, tmp_path: Path, kind: str) -> None:
    ends = [weights(folder / f"{kind}-{n}") for n in (1, 2)]
    for t, expected in zip((0.0, 1.0), ends, strict=True):
        found = weights(merged(folder, tmp_path, two(kind, "slerp", {"t": t}), name=f"t{t:.0f}"))
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["ties", "dare_ties"])
def test_ties_and_dare_keep_the_task_and_draw_by_the_seed(folder: Path, tmp_path: Path, method: str) -> None:
    whole = two("neox", method, {}, weight=1.0, density=1.0)
    whole["models"] = whole["models"][1:]
    found = weights(merged(folder, tmp_path, whole, name="whole"))
    for name, weight in weights(folder / "neox-2").items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5)
    if method == "dare_ties":
        part = two("neox", method, {}, weight=1.0, density=0.5)
        runs = [
            weights(merged(folder, tmp_path, part, name=f"run{n}", seed=seed))
            for n, seed in enumerate((1, 1, 2))
        ]
        name = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight"
        assert torch.equal(runs[0][name], runs[1][name])
        assert not torch.equal(runs[0][name], runs[2][name])


def test_passthrough_stacks_layers(folder: Path, tmp_path: Path) -> None:
    slices = [
        {"sources": [{"model": "llama-1", "layer_range": [0, 2]}]},
        {"sources": [{"model": "llama-2", "layer_range": [1, 2]}]},
    ]
    out = merged(
        folder, tmp_path, {"merge_method": "passthrough", "slices": slices, "dtype": "bfloat16"}, name="deep"
    )
    model = load(out)
    assert model.config.num_hidden_layers == 3
    third = weights(folder / "llama-2")["model.layers.1.mlp.up_proj.weight"]
    assert torch.equal(model.model.layers[2].mlp.up_proj.weight, third.bfloat16())


def test_a_mixture_of_experts_has_the_names_that_mixtral_was_published_with(
    folder: Path, tmp_path: Path
) -> None:
    out = merged(folder, tmp_path, PROMPTS)
    found = weights(out)
    for number in (1, 2):
        source = weights(folder / f"llama-{number}")
        for part, name in (("w1", "gate_proj"), ("w2", "down_proj"), ("w3", "up_proj")):
            expert = f"model.layers.1.block_sparse_moe.experts.{number - 1}.{part}.weight"
            assert torch.equal(found[expert], source[f"model.layers.1.mlp.{name}.weight"])
    assert "model.layers.0.block_sparse_moe.gate.weight" in found
    card = read_card(out)
    assert card is not None
    assert card.base_model == "llama-1"


IN_VLLM = """
import sys
from vllm import LLM, SamplingParams
for directory in sys.argv[2:]:
    engine = LLM(directory, dtype="float32", max_model_len=128, enforce_eager=True, max_num_seqs=2)
    asked = [{"role": "user", "content": sys.argv[1]}]
    answer = engine.chat(asked, SamplingParams(temperature=0, max_tokens=8), use_tqdm=False)
    print("TOKENS", *answer[0].outputs[0].token_ids, flush=True)
    del engine
"""


def test_vllm_loads_merged_models_and_answers_as_transformers_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [
        merged(folder, tmp_path, two("neox", "slerp", {"t": 0.3}), name="neox"),
        merged(folder, tmp_path, PROMPTS, name="moe"),
    ]
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    question = "하늘은 무슨 색인가요?"
    argv = [sys.executable, "-c", IN_VLLM, question, *map(str, models)]
    done = subprocess.run(argv, capture_output=True, text=True)
    answers = [
        [int(token) for token in line.split()[1:]]
        for line in done.stdout.splitlines()
        if line.startswith("TOKENS")
    ]
    assert len(answers) == 2, done.stderr[-3000:]
    for directory, answer in zip(models, answers, strict=True):
        tokenizer = AutoTokenizer.from_pretrained(directory)
        asked: Any = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        with torch.no_grad():
            out = load(directory).generate(**asked, max_new_tokens=8, do_sample=False)[0]
        assert out[asked["input_ids"].shape[1] :].tolist() == answer


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"models": []}, "neither `merge_method` nor `experts`"),
        ({"merge_method": "slerp", "models": [{"model": "llama-1"}]}, "names 1 models"),
        (
            {"merge_method": "linear", "models": [{"model": "llama-1"}, {"model": "gone"}]},
            "gone does not exist",
        ),
        (
            {"merge_method": "linear", "models": [{"model": "llama-1"}, {"model": "no/hub"}]},
            "hf download no/hub",
        ),
        ({"merge_method": "linear", "models": [{"model": "llama-1+tuned"}]}, "kodolly merge lora"),
        (two("llama", "no-such-method", {}), "mergekit refuses the merge: .*no-such-method"),
        (two("llama", "linear", {}), "mergekit refuses the merge: .*weight"),
        (PROMPTS | {"experts_per_token": 3}, "as many experts as experts_per_token"),
        (PROMPTS | {"architecture": "qwen"}, "qwen is not supported"),
        (
            PROMPTS
            | {
                "base_model": "neox-1",
                "experts": [{**e, "source_model": "neox-1"} for e in PROMPTS["experts"]],
            },
            "names 1 models",
        ),
    ],
)
def test_what_cannot_be_merged_is_told_in_plain_words(
    folder: Path, tmp_path: Path, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        merged(folder, tmp_path, values)
    assert list(tmp_path.iterdir()) == []


def test_models_that_speak_differently_are_refused(folder: Path, tmp_path: Path) -> None:
    make_source(folder / "llama-3", "Llama", 3, template="alpaca")
    values = two("llama", "linear", {}, weight=1.0)
    values["models"][1]["model"] = "llama-3"
    with pytest.raises(UserError, match=r"different chat templates: llama-1 \(dolly\), llama-3 \(alpaca\)"):
        merged(folder, tmp_path, values)
    out = merged(folder, tmp_path, values, template="alpaca")
    card = read_card(out)
    assert card is not None
    assert card.template == "alpaca"


def test_different_vocabularies_are_refused_or_united(folder: Path, tmp_path: Path) -> None:
    wider = make_source(folder / "llama-5", "Llama", 5)
    tokenizer = AutoTokenizer.from_pretrained(wider)
    tokenizer.add_tokens(["새말"])
    model = load(wider)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(wider)
    tokenizer.save_pretrained(wider)
    values = two("llama", "linear", {}, weight=1.0)
    values["models"][1]["model"] = "llama-5"
    with pytest.raises(UserError, match="llama-1 and llama-5 have different vocabularies"):
        merged(folder, tmp_path, values)
    out = merged(folder, tmp_path, values | {"tokenizer": {"source": "union"}})
    united = AutoTokenizer.from_pretrained(out)
    assert "새말" in united.get_vocab()
    assert load(out).get_input_embeddings().weight.shape[0] == len(united)


def test_a_source_without_a_licence_needs_one(folder: Path, tmp_path: Path) -> None:
    (make_source(folder / "llama-4", "Llama", 4) / "kodolly.json").unlink()
    values = two("llama", "linear", {}, weight=1.0)
    values["models"][1]["model"] = "llama-4"
    with pytest.raises(UserError, match="does not say its licence"):
        merged(folder, tmp_path, values)
    card = read_card(merged(folder, tmp_path, values, licence="MIT"))
    assert card is not None
    assert card.licence == "MIT"
