"""`kodolly merge lora` takes adapters that other trainers wrote with PEFT, in all their forms."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from common.chat_template import load_template
from common.checkpoint import read_card
from common.errors import UserError
from finetune.merge.lora import merge
from finetune.models.adapter import ADAPTER_FILE
from finetune.progress import silent
from kodolly.commands.merge_lora import command
from tests.support.merge_stage import SPREAD, load, make_base, weights_of
from tests.support.random_models import random_model
from tests.support.tiny_families import byte_level_tokenizer

pytestmark = pytest.mark.slow
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
CHATML += "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
MARKS = ("<|im_start|>", "<|im_end|>")


def base_of(folder: Path, architecture: str = "Llama", **options: Any) -> Path:
    """A base whose tokenizer has marks of its own and a chat template with them, as most bases do today."""
    base = make_base(folder, architecture, **options)
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = load_template("dolly")
    tokenizer.save_pretrained(base)
    return base


def foreign(folder: Path, base: Path, tokens: int = 0, **lora: Any) -> Any:
    """What PEFT's save_pretrained leaves on another machine; returns the model with the adapter.

    tokens: embedding rows of the model in training, where it was resized.
    """
    model = load(base)
    if tokens:
        model.resize_token_embeddings(tokens)
    usual: dict[str, Any] = {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }
    with warnings.catch_warnings():  # PEFT warns of some of the forms that are tried here
        warnings.simplefilter("ignore")
        tuned = get_peft_model(model, LoraConfig(**usual | lora))
    torch.manual_seed(2)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name or "lora_embedding_A" in name or "lora_embedding_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
        elif "magnitude" in name:
            parameter.data *= torch.empty_like(parameter).uniform_(0.8, 1.2)
        elif "modules_to_save" in name:
            parameter.data += torch.randn_like(parameter) * 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned.save_pretrained(str(folder))
    edit_config(folder, base_model_name_or_path="/home/somebody/models/base")
    return tuned


def edit_config(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")


def same_answers(directory: Path, tuned: Any, tolerance: float = 2e-3) -> None:
    """The files' model gives the logits of base and adapter."""
    ids = torch.randint(0, 250, (2, 24), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = tuned.eval()(input_ids=ids).logits.float()
        found = load(directory).eval()(input_ids=ids).logits.float()
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def merged(tmp_path: Path, base: Path, **options: Any) -> Path:
    out = tmp_path / "out"
    merge(tmp_path / "adapter", out, silent, base=base, licence="Apache-2.0", **options)
    return out


CONFIGS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "a list of names": {"target_modules": ["q_proj", "v_proj"]},
    "a regular expression": {"target_modules": r".*(self_attn|mlp).*\.(q|up)_proj"},
    "patterns": {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {".*down_proj": 32}},
    "some layers": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "whole modules": {"modules_to_save": ["embed_tokens", "lm_head", "norm"]},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj", "lm_head"]},
    "another start": {"init_lora_weights": "gaussian"},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_merged_model_answers_as_base_and_adapter(tmp_path: Path, kind: str) -> None:
    base = base_of(tmp_path / "base")
    tuned = foreign(tmp_path / "adapter", base, **CONFIGS[kind])
    out = merged(tmp_path, base)
    same_answers(out, tuned)
    card = read_card(out)
    assert card is not None
    assert (card.name, card.method, card.template, card.licence) == ("out", "lora", "dolly", "Apache-2.0")
    assert card.metrics["merge_argmax_agreement"] == 1.0
    assert card.metrics["merge_prompts"] > 10
    assert (out / "chat_template.jinja").read_text(encoding="utf-8") == load_template("dolly")


@pytest.mark.parametrize("architecture", ["GPTNeoX", "Mixtral", "Llama, tied", "BLOOM", "GPT-J"])
def test_every_architecture(tmp_path: Path, architecture: str) -> None:
    base = base_of(tmp_path / "base", architecture)
    experts: dict[str, Any] = {"target_modules": ["q_proj", "v_proj"]} if architecture == "Mixtral" else {}
    tuned = foreign(tmp_path / "adapter", base, **experts)
    same_answers(merged(tmp_path, base), tuned)


def test_dora_where_weights_have_inputs_for_rows(tmp_path: Path) -> None:
    from transformers import GPT2Config

    torch.manual_seed(3)
    tokenizer = byte_level_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=2, n_positions=256, initializer_range=SPREAD
    )
    random_model(config).save_pretrained(tmp_path / "base")
    tokenizer.chat_template = load_template("dolly")
    tokenizer.save_pretrained(tmp_path / "base")
    targets = ["c_attn", "c_fc"]
    tuned = foreign(
        tmp_path / "adapter", tmp_path / "base", use_dora=True, target_modules=targets, fan_in_fan_out=True
    )
    same_answers(merged(tmp_path, tmp_path / "base"), tuned)


@pytest.mark.parametrize("architecture", ["Llama", "Llama, tied"])
@pytest.mark.parametrize("more", [64, -20])
def test_resized_embeddings_with_new_tokens(tmp_path: Path, architecture: str, more: int) -> None:
    """LLaMA-Factory and axolotl make room for new tokens and save both embeddings; TRL cuts off rows."""
    base = base_of(tmp_path / "base", architecture)
    tokenizer = byte_level_tokenizer()
    rows = len(tokenizer)
    if more > 0:
        tokenizer.add_special_tokens({"additional_special_tokens": list(MARKS)})
        tokenizer.chat_template = CHATML
    saved = ["embed_tokens", "lm_head"]
    tuned = foreign(tmp_path / "adapter", base, tokens=rows + more, modules_to_save=saved)
    if more > 0:
        tokenizer.save_pretrained(tmp_path / "adapter")
        out = merged(tmp_path, base)
        same_answers(out, tuned)
        written = AutoTokenizer.from_pretrained(out)
        assert written.chat_template == CHATML
        stops = json.loads((out / "generation_config.json").read_text())["eos_token_id"]
        assert stops[:2] == [written.convert_tokens_to_ids("<|im_end|>"), written.eos_token_id]
        assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is False
        return
    with pytest.raises(UserError, match="was not saved"):  # the base's tokenizer has tokens that were cut off
        merged(tmp_path, base)


@pytest.mark.parametrize(
    "lora", [{"modules_to_save": ["lm_head"]}, {"target_modules": ["q_proj", "lm_head"]}]
)
def test_tied_embeddings_that_training_took_apart(tmp_path: Path, lora: dict[str, Any]) -> None:
    base = base_of(tmp_path / "base", "Llama, tied")
    tuned = foreign(tmp_path / "adapter", base, **lora)
    same_answers(merged(tmp_path, base), tuned)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_names_of_wrappers(tmp_path: Path, dtype: torch.dtype) -> None:
    """DeepSpeed and FSDP leave the adapter's name and their own wrappers in the names."""
    base = base_of(tmp_path / "base")
    tuned = foreign(tmp_path / "adapter", base)
    path = tmp_path / "adapter" / "adapter_model.safetensors"
    stored = {
        name.replace("layers.0", "_orig_mod.layers.0").replace("lora_A.", "lora_A.default."): value.to(dtype)
        for name, value in load_file(path).items()
    }
    save_file(stored, path)
    same_answers(merged(tmp_path, base), tuned, 0.1)


def test_a_token_for_padding_needs_no_embedding(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base")
    tuned = foreign(tmp_path / "adapter", base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(tmp_path / "adapter")
    out = merged(tmp_path, base)
    assert load(out).get_input_embeddings().weight.shape[0] >= len(tokenizer)
    ids = torch.arange(20).unsqueeze(0)
    with torch.no_grad():
        found = load(out)(input_ids=ids).logits[..., : len(tokenizer) - 1]
        torch.testing.assert_close(found, tuned.eval()(input_ids=ids).logits, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    foreign(folder / "adapter", base_of(folder / "base"))
    return folder


@pytest.fixture
def adapter(pair: Path, tmp_path: Path) -> Path:
    shutil.copytree(pair / "adapter", tmp_path / "adapter")
    return tmp_path / "adapter"


def refusal(adapter: Path, base: Path | None, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        merge(adapter, adapter.parent / "out", silent, base=base, **({"licence": "MIT"} | options))
    assert not (adapter.parent / "out").exists()
    told = f"{caught.value} {caught.value.hint}"
    assert "\n" not in told
    return told


def test_pickles_are_never_opened(pair: Path, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    assert "adapter_model.bin, a pickle" in refusal(adapter, pair / "base")
    result = CliRunner().invoke(command, [str(adapter), str(adapter.parent / "out"), "--base", str(pair)])
    assert isinstance(result.exception, UserError)


def test_another_base_is_told_by_the_shapes(adapter: Path, tmp_path: Path) -> None:
    base = base_of(tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"intermediate_size": 128}))
    told = refusal(adapter, base)
    assert "was not made for" in told
    assert "mlp" in told
    assert "[96, 8], this base needs [128, 8]" in told or "[8, 96], this base needs [8, 128]" in told
    assert "more)" in told


def test_a_base_with_other_layers_is_told(adapter: Path, tmp_path: Path) -> None:
    told = refusal(adapter, base_of(tmp_path / "base", "GPTNeoX"))
    assert "it changes the layers" in told
    assert "and this base has query_key_value, dense, dense_h_to_4h, dense_4h_to_h" in told


def test_a_base_with_another_vocabulary_is_told(pair: Path, adapter: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(pair / "base")
    tokenizer.save_pretrained(adapter)
    file = adapter / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocab = content["model"]["vocab"]
    first, second = list(vocab)[100:102]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    file.write_text(json.dumps(content), encoding="utf-8")
    assert "its tokenizer has" in refusal(adapter, pair / "base")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"peft_type": "IA3"}, "kind IA3"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS, not for a chat model"),
        ({"bias": "all"}, "uses bias"),
        ({"lora_bias": True}, "uses lora_bias"),
        ({"alora_invocation_tokens": [1, 2]}, "uses alora_invocation_tokens"),
        ({"some_setting_of_tomorrow": {"a": 1}}, "uses some_setting_of_tomorrow"),
        ({"init_lora_weights": "pissa"}, "began with pissa"),
        ({"init_lora_weights": "loftq"}, "began with loftq"),
        ({"target_modules": ["no_such"]}, "was not made for"),
        ({"target_modules": "(unclosed"}, "was not made for"),
        ({"r": "eight"}, "was not made for"),
        ({"r": 16}, "has the shape [8, 64], this base needs [16, 64]"),
        ({"lora_alpha": float("nan")}, "not finite"),
        ({"lora_alpha": 1e45}, "not finite"),
    ],
)
def test_what_cannot_be_merged_is_refused_in_one_line(
    pair: Path, adapter: Path, change: dict[str, Any], words: str
) -> None:
    edit_config(adapter, **change)
    assert words in refusal(adapter, pair / "base")


def test_weights_beyond_the_numbers_of_the_result_are_refused(pair: Path, adapter: Path) -> None:
    edit_config(adapter, lora_alpha=1e9)
    with pytest.raises(UserError, match="not finite .* in float16"):
        merge(adapter, adapter.parent / "out", silent, base=pair / "base", licence="MIT", dtype="float16")


def test_an_adapter_in_several_files_is_called_so(pair: Path, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model-00001-of-00002.safetensors")
    (adapter / "adapter_model.safetensors.index.json").write_text("{}")
    assert "in several files" in refusal(adapter, pair / "base")


def test_code_that_a_tokenizer_brings_is_not_even_asked_about(pair: Path, adapter: Path) -> None:
    """Transformers would ask on the terminal whether to run it."""
    config = {"tokenizer_class": "Y", "auto_map": {"AutoTokenizer": ["x.Y", None]}}
    (adapter / "tokenizer_config.json").write_text(json.dumps(config))
    assert "holds no tokenizer that can be loaded" in refusal(adapter, pair / "base")


def test_numbers_that_are_none_are_refused(pair: Path, adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    stored = load_file(path)
    next(iter(stored.values()))[0, 0] = float("nan")
    save_file(stored, path)
    assert "not finite" in refusal(adapter, pair / "base")
    path.write_bytes(b"\xff" * 64)
    assert "cannot be read" in refusal(adapter, pair / "base")


def test_what_an_adapter_does_not_say_is_asked_for(pair: Path, adapter: Path, tmp_path: Path) -> None:
    told = refusal(adapter, None)
    assert "was trained on /home/somebody/models/base, which is no directory here" in told
    for odd in ("x" * 5000, "a\0b", "~/base"):
        edit_config(adapter, base_model_name_or_path=odd)
        assert "which is no directory here" in refusal(adapter, None)
    assert "--base DIRECTORY" in told
    assert "--licence NAME" in refusal(adapter, pair / "base", licence=None)
    bare = make_base(tmp_path / "bare", "Llama")
    assert "--template NAME" in refusal(adapter, bare)
    merge(adapter, tmp_path / "named", silent, base=bare, template="chatml", licence="MIT")
    assert (tmp_path / "named" / "chat_template.jinja").read_text() == load_template("chatml")
    assert not (tmp_path / "adapter" / ADAPTER_FILE).exists()
    assert "is not an adapter" in refusal(tmp_path / "bare", bare)


def test_experts_that_older_libraries_tuned_one_by_one(tmp_path: Path) -> None:
    """Transformers 4 had a layer for each matrix of each expert; now they are one tensor."""
    base = base_of(tmp_path / "base", "Mixtral")
    before = weights_of(base)
    torch.manual_seed(4)
    changes: dict[str, torch.Tensor] = {}
    for name, weight in before.items():
        if ".experts." in name or "q_proj" in name:
            module = f"base_model.model.{name.removesuffix('.weight')}"
            changes[f"{module}.lora_A.weight"] = torch.randn(4, weight.shape[1]) * 0.1
            changes[f"{module}.lora_B.weight"] = torch.randn(weight.shape[0], 4) * 0.1
    (tmp_path / "adapter").mkdir()
    save_file(changes, tmp_path / "adapter" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "bias": "none"}
    config["target_modules"] = ["q_proj", "w1", "w2", "w3"]
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    found = weights_of(merged(tmp_path, base))
    assert found.keys() == before.keys()
    for name, weight in before.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{module}.lora_A.weight" in changes:
            delta = changes[f"{module}.lora_B.weight"] @ changes[f"{module}.lora_A.weight"] * 2
            weight = weight + delta
        torch.testing.assert_close(found[name], weight, rtol=1e-5, atol=1e-5, msg=name)


def test_targets_that_are_a_word_for_all_linear_layers(tmp_path: Path) -> None:
    base = base_of(tmp_path / "base")
    tuned = foreign(tmp_path / "adapter", base)
    edit_config(tmp_path / "adapter", target_modules="all-linear", auto_mapping={"unsloth_fixed": True})
    same_answers(merged(tmp_path, base), tuned)
