"""A merge needs a few tensors or one layer of memory, whatever the model's size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from finetune.merge.parameter_names import empty_model
from finetune.merge.safetensors_io import INDEX, Planned, write_tensors
from tests.support.merge_stage import make_adapter
from tests.support.tiny_families import byte_level_tokenizer

pytestmark = pytest.mark.slow
MERGE = """
import sys
from pathlib import Path
from finetune.merge.lora import merge
from finetune.progress import silent
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
before = peak()
merge(Path(sys.argv[1]), Path(sys.argv[2]), silent)
print(before, peak())
"""


def make_large_base(folder: Path) -> Path:
    """A Llama of 0.6 GB in bfloat16 and eight files."""
    folder.mkdir()
    tokenizer = byte_level_tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=24,
        num_attention_heads=8,
        dtype="bfloat16",
        architectures=["LlamaForCausalLM"],
    )
    config.save_pretrained(folder)
    torch.manual_seed(1)
    noise = torch.empty(4_000_000, dtype=torch.bfloat16).normal_(std=0.05)
    plan = [
        Planned(name, torch.bfloat16, tuple(value.shape))
        for name, value in empty_model(config).state_dict().items()
    ]
    index: dict[str, str] = {}
    for number in range(8):
        part = plan[number::8]
        name = f"model-{number + 1:05}-of-00008.safetensors"
        tensors = (noise[: torch.Size(each.shape).numel()].reshape(each.shape) for each in part)
        write_tensors(folder / name, part, tensors)
        index |= {each.key: name for each in part}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder


def test_memory_stays_below_a_third_of_the_model(tmp_path: Path) -> None:
    base = make_large_base(tmp_path / "base")
    size = sum(path.stat().st_size for path in base.glob("*.safetensors"))
    assert size > 600e6
    make_adapter(tmp_path / "adapter", base)
    argv = [sys.executable, "-c", MERGE, str(tmp_path / "adapter"), str(tmp_path / "out")]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True)
    before, peak = map(int, done.stdout.split())
    assert peak < 0.35 * size + 2e9
    assert peak - before < 0.35 * size  # what the libraries take before any weight is read is not counted
    merged = sum(path.stat().st_size for path in (tmp_path / "out").glob("*.safetensors"))
    assert merged == pytest.approx(size, rel=0.001)
