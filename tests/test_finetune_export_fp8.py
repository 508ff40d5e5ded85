"""`kodolly export fp8`: half the weights' bytes, the same answers, read by vLLM as it stands."""

import json
from pathlib import Path

import pytest
import torch

from common.chat_template import load_template
from common.checkpoint import read_card
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from finetune.export import likeness as export_likeness
from finetune.export.fp8 import export_fp8
from finetune.merge.lora import merge
from finetune.models.checkpoint import weights_hash, write_tokenizer
from finetune.progress import silent
from tests.support.merge_stage import make_adapter, make_base, make_source, weights_of
from tests.support.tiny_families import byte_level_tokenizer
from worker.model_dir import describe_model

pytestmark = pytest.mark.slow
LAYERS = {"GPTNeoX": 4 * 2, "Llama, tied": 7 * 2}
"""Linear layers of the tiny models; the output embedding is none of them."""


@pytest.fixture(autouse=True)
def _random_models_prefer_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_likeness, "LOWEST", 0.1)


@pytest.mark.parametrize("architecture", LAYERS)
def test_each_row_of_a_linear_layer_has_its_own_scale(architecture: str, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", architecture, seed=3)
    export_fp8(source, tmp_path / "out", silent)
    before, after = weights_of(source), weights_of(tmp_path / "out")
    rounded = {name for name, weight in after.items() if weight.dtype == torch.float8_e4m3fn}
    assert len(rounded) == LAYERS[architecture]
    assert after.keys() == before.keys() | {f"{name}_scale" for name in rounded}
    for name, weight in before.items():
        if name not in rounded:
            assert torch.equal(after[name], weight)
            continue
        scales = after[f"{name}_scale"]
        assert scales.shape == (len(weight), 1)
        rows = weight.abs().amax(1, keepdim=True)
        # e4m3 has three bits behind its first: half a step is a sixteenth, for small numbers one of 2**-10.
        near = (after[name].float() * scales - weight).abs() <= weight.abs() / 16 + rows / 448 * 2**-10 + 1e-9
        assert bool(near.all()), name


def test_the_configuration_names_what_was_left(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "GPTNeoX", seed=3)
    export_fp8(source, tmp_path / "out", silent)
    values = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["quantization_config"]
    assert set(values["ignore"]) == {"lm_head", "embed_out", "gpt_neox.embed_in"}
    assert values["quant_method"] == "compressed-tensors"


def test_the_card_says_from_what_it_was_made(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "GPTNeoX", seed=3)
    likeness = export_fp8(source, tmp_path / "out", silent)
    card, old = read_card(tmp_path / "out"), read_card(source)
    assert card is not None
    assert old is not None
    assert card.export is not None
    assert card.export.model_dump() == {
        "format": "fp8",
        "checkpoint": checkpoint_id(source),
        "sha256": weights_hash(source),
    }
    assert (card.licence, card.template_hash, card.dtype) == (old.licence, old.template_hash, "float8_e4m3fn")
    assert card.metrics["export_argmax_agreement"] == likeness.agreement
    with pytest.raises(UserError, match="is quantised already"):
        export_fp8(tmp_path / "out", tmp_path / "again", silent)


def test_a_model_that_loses_too_much_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_likeness, "LOWEST", 1.1)
    source = make_source(tmp_path / "source", "GPTNeoX", seed=3)
    with pytest.raises(UserError, match="nothing was written"):
        export_fp8(source, tmp_path / "out", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("architecture", ["BLOOM", "Mixtral"])
def test_what_vllm_was_not_seen_serving_is_refused(architecture: str, tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", architecture, seed=3)
    with pytest.raises(
        UserError, match=f"An fp8 export of {architecture.lower()} has not been seen working in vLLM"
    ):
        export_fp8(source, tmp_path / "out", silent)


def test_no_adapter_is_merged_into_8_bits(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "GPTNeoX", seed=3)
    export_fp8(source, tmp_path / "out", silent)
    make_adapter(tmp_path / "adapter", source)
    with pytest.raises(UserError, match="are quantised"):
        merge(tmp_path / "adapter", tmp_path / "merged", silent, base=tmp_path / "out")


def test_the_index_names_every_tensor_and_scale(tmp_path: Path) -> None:
    source = make_source(tmp_path / "source", "GPTNeoX", seed=3)
    (source / "model.safetensors").unlink()
    make_base(source, "GPTNeoX", shard="60KB", seed=3)
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = load_template("dolly")
    write_tokenizer(source, tokenizer)
    export_fp8(source, tmp_path / "out", silent)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["weight_map"].keys() == weights_of(tmp_path / "out").keys()
    assert len(set(index["weight_map"].values())) > 1
    assert describe_model(tmp_path / "out")[0].dtype == "float8_e4m3fn"  # as a worker looks at it
