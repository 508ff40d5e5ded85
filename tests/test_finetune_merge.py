"""`kodolly merge lora`: the same weights as PEFT's own merge, whatever the architecture, and proof of it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from common.checkpoint import read_card
from common.errors import UserError
from finetune.merge import parity as merge_parity
from finetune.merge.lora import merge
from finetune.progress import silent
from tests.support.merge_stage import change_card, load, make_adapter, make_base, weights_of

pytestmark = pytest.mark.slow
ARCHITECTURES = ("GPTNeoX", "Llama", "Llama, tied", "Mistral", "Mixtral", "BLOOM", "GPT-J")


def assert_same_weights(directory: Path, expected: Any, dtype: torch.dtype, part: float) -> None:
    """`directory` loads as the model that PEFT merged; `part`: relative difference that rounding may make."""
    merged = load(directory)
    found, wanted = merged.state_dict(), expected.state_dict()
    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        assert found[name].dtype == dtype
        torch.testing.assert_close(found[name].float(), weight.float(), rtol=part, atol=part, msg=name)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_weights_are_those_of_pefts_own_merge(tmp_path: Path, architecture: str) -> None:
    base = make_base(tmp_path / "base", architecture)
    tuned = make_adapter(tmp_path / "adapter", base, use_rslora=True)
    parity = merge(tmp_path / "adapter", tmp_path / "out", silent)
    assert parity.agreement == 1.0
    assert parity.prompts == 3
    assert_same_weights(tmp_path / "out", tuned.merge_and_unload(), torch.float32, 1e-6)
    before, after = weights_of(base), weights_of(tmp_path / "out")
    assert after.keys() == before.keys()  # an engine that knows the base's names knows the result's
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1


def test_the_bases_own_type_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge_parity, "AGREEMENT", 0.9)  # a random model hardly prefers what it prefers
    base = make_base(tmp_path / "base", "Llama", torch.bfloat16)
    tuned = make_adapter(tmp_path / "adapter", base)
    merge(tmp_path / "adapter", tmp_path / "out", silent)
    card = read_card(tmp_path / "out")
    assert card is not None
    assert card.dtype == "bfloat16"
    assert_same_weights(tmp_path / "out", tuned.merge_and_unload(), torch.bfloat16, 2**-7)
    merge(tmp_path / "adapter", tmp_path / "wide", silent, dtype="float32")
    assert {tensor.dtype for tensor in weights_of(tmp_path / "wide").values()} == {torch.float32}
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.parametrize("architecture", ["GPTNeoX", "Llama, tied", "GPT-J"])
def test_new_tokens_have_the_rows_that_training_gave_them(tmp_path: Path, architecture: str) -> None:
    base = make_base(tmp_path / "base", architecture)
    tuned = make_adapter(tmp_path / "adapter", base, ("<|끝|>", "<|출처|>"))
    merge(tmp_path / "adapter", tmp_path / "out", silent)
    assert_same_weights(tmp_path / "out", tuned.merge_and_unload(), torch.float32, 1e-3)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.eos_token == "<|끝|>"
    rows = load(tmp_path / "out").get_input_embeddings().weight.shape[0]
    assert rows % 64 == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == rows
    generation = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [tokenizer.eos_token_id]


@pytest.mark.parametrize("architecture", ["GPTNeoX", "BLOOM"])
def test_files_as_they_were_published_keep_their_form(tmp_path: Path, architecture: str) -> None:
    """BLOOM's tensors have no `transformer.` before their names, Polyglot's files hold masks and tables."""
    base = make_base(tmp_path / "base", architecture, shard="1GB")
    weights = {name.removeprefix("transformer."): weight for name, weight in weights_of(base).items()}
    if architecture == "GPTNeoX":
        weights["gpt_neox.layers.0.attention.bias"] = torch.ones(1, 1, 7, 7).tril().bool()
        weights["gpt_neox.layers.0.attention.masked_bias"] = torch.tensor(-1e9)
    save_file(weights, base / "model.safetensors")
    tuned = make_adapter(tmp_path / "adapter", base)
    merge(tmp_path / "adapter", tmp_path / "out", silent)
    assert_same_weights(tmp_path / "out", tuned.merge_and_unload(), torch.float32, 1e-6)
    found = weights_of(tmp_path / "out")
    assert found.keys() == weights.keys()
    for name in ("gpt_neox.layers.0.attention.bias", "gpt_neox.layers.0.attention.masked_bias"):
        assert name not in weights or torch.equal(found[name], weights[name])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base` and `adapter`."""
    folder = tmp_path_factory.mktemp("pair")
    make_adapter(folder / "adapter", make_base(folder / "base", "GPTNeoX"))
    return folder


@pytest.fixture
def adapter(pair: Path, tmp_path: Path) -> Path:
    """A copy of the adapter that may be changed."""
    shutil.copytree(pair / "adapter", tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_base_that_moved_is_found_where_it_is_now(pair: Path, adapter: Path, tmp_path: Path) -> None:
    change_card(adapter, base=str(tmp_path / "gone"))
    with pytest.raises(UserError, match="--base DIRECTORY"):
        merge(adapter, tmp_path / "out", silent)
    merge(adapter, tmp_path / "out", silent, base=pair / "base", prompts=1)
    card = read_card(tmp_path / "out")
    assert card is not None
    assert card.metrics["merge_prompts"] == 1


def test_another_base_is_refused(adapter: Path, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other", "GPTNeoX", seed=2)
    with pytest.raises(UserError, match="is not the base that this adapter was trained on"):
        merge(adapter, tmp_path / "out", silent, base=other)
    assert not (tmp_path / "out").exists()


def test_a_merge_into_four_bits_is_refused(pair: Path, adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(pair / "base", tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="are quantised; an adapter merged into them gives garbage"):
        merge(adapter, tmp_path / "out", silent, base=tmp_path / "base")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_dora": True}, "has no .*lora_magnitude_vector"),
        ({"bias": "all"}, "uses bias"),
        ({"layer_replication": [[0, 1]]}, "uses layer_replication"),
        ({"peft_type": "IA3"}, "kind IA3"),
    ],
)
def test_an_adapter_that_does_more_than_can_be_merged_is_refused(
    adapter: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=words):
        merge(adapter, tmp_path / "out", silent)


def test_no_weight_of_an_adapter_is_passed_over(adapter: Path, tmp_path: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    save_file(weights | {"base_model.model.no.such.lora_A.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(UserError, match="no.such.lora_A.weight, for which the base has no layer"):
        merge(adapter, tmp_path / "out", silent)
    weights.pop(next(iter(weights)))
    save_file(weights, path)
    with pytest.raises(UserError, match="which the adapter's layers need"):
        merge(adapter, tmp_path / "out", silent)


def test_a_merge_that_loses_what_was_learnt_writes_nothing(
    pair: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of each change is lost on the way to the disk; only the comparison can tell."""
    from finetune.merge.edits import LowRank

    whole = LowRank.apply
    monkeypatch.setattr(LowRank, "apply", lambda self, weight, place: whole(self, weight / 2, place))
    with pytest.raises(UserError, match="The merged model is not what training made"):
        merge(adapter, tmp_path / "out", silent)
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_an_adapter_without_conversations_is_compared_too(adapter: Path, tmp_path: Path) -> None:
    change_card(adapter, probes=[])
    parity = merge(adapter, tmp_path / "out", silent)
    assert (parity.prompts, parity.agreement) == (4, 1.0)
    assert parity.tokens > 50


KILLED = """
import sys
from pathlib import Path
from finetune.merge.lora import merge
def report(progress):
    if progress.detail.startswith("shard 2 of"):
        print("two shards are written", flush=True)
        sys.stdin.read()
merge(Path(sys.argv[1]), Path(sys.argv[2]), report)
"""


def test_a_killed_merge_goes_on_with_the_shards_that_are_whole(pair: Path, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(pair / "adapter"), str(tmp_path / "out")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"two shards are written\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    part = tmp_path / ".out.partial"
    first, second = sorted(part.glob("*.safetensors"))[:2]
    kept, broken = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    with second.open("r+b") as file:  # one of the two has lost its last page
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    merge(pair / "adapter", tmp_path / "out", silent)
    merge(pair / "adapter", tmp_path / "again", silent)
    assert (tmp_path / "out" / first.name).stat().st_mtime_ns == kept
    assert (tmp_path / "out" / second.name).stat().st_mtime_ns != broken
    ours, clean = weights_of(tmp_path / "out"), weights_of(tmp_path / "again")
    assert all(torch.equal(ours[name], clean[name]) for name in clean)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in (tmp_path / "again").iterdir()}
    assert not any(name.startswith(".") for name in names)
