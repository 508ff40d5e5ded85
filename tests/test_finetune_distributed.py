"""A run in two processes (gloo on CPUs) is the run of one; the launch configurations are well formed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.run import train
from finetune.train.write import LOG_FILE
from tests.support import fsdp_on_cpu
from tests.support.processes import free_port, stop
from tests.support.tiny_training import make_base

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[1] / "finetune" / "accelerate"
SETTINGS = ("epochs=6", "smoke_test=false", "data.0.split=null")


def in_two_processes(folder: Path, output: Path, *settings: str, fsdp: bool = False) -> str:
    """`torchrun --nproc-per-node 2 -m kodolly train tune.yaml ...`; returns what it printed."""
    argv = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    argv += ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    argv += [str(Path(fsdp_on_cpu.__file__))] if fsdp else ["-m", "kodolly"]
    argv += ["train", str(folder / "tune.yaml"), *settings, "--output", str(output)]
    more = {"OMP_NUM_THREADS": "1", **(fsdp_on_cpu.FSDP if fsdp else {})}
    printed = output.with_suffix(".printed")
    with printed.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=folder, env={**os.environ, **more})
    try:
        code = process.wait(200)
    finally:
        stop(process)  # torchrun ends its processes when it is asked to end, not when it is killed
    text = printed.read_text(encoding="utf-8")
    assert code == 0, text[-4000:]
    return text


def curve(output: Path) -> list[float]:
    entries = json.loads((output / LOG_FILE).read_text(encoding="utf-8"))
    return [entry["loss"] for entry in entries if "loss" in entry]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    make_base(folder)
    return folder


def test_two_processes_draw_the_loss_curve_of_one(folder: Path) -> None:
    train(load_recipe(folder / "tune.yaml", [*SETTINGS, "batch_size=4"]), folder / "one", silent)
    printed = in_two_processes(folder, folder / "two", *SETTINGS, "batch_size=2")
    assert printed.count("training 100%") == 1, "only the first process reports"
    one, two = curve(folder / "one"), curve(folder / "two")
    assert len(one) == len(two) == 12
    assert two == pytest.approx(one, rel=1e-3)
    assert one[-1] < one[0]
    weights = [load_file(folder / name / "adapter_model.safetensors") for name in ("one", "two")]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        (("method=full", "learning_rate=1e-3", "dtype=float32"), "model.safetensors"),
        ((), "adapter_model.safetensors"),
    ],
    ids=["full", "lora"],
)
def test_a_model_in_parts_is_trained_and_written_as_a_whole_one(
    folder: Path, method: tuple[str, ...], weights: str
) -> None:
    kept = (f"validation.path={folder / 'rows.jsonl'}", "checkpoint_every=4", "epochs=4")
    settings = (*SETTINGS, *method, *kept)
    one, two = folder / f"whole-{weights}", folder / f"parts-{weights}"
    train(load_recipe(folder / "tune.yaml", [*settings, "batch_size=4"]), one, silent)
    in_two_processes(folder, two, *settings, "batch_size=2", fsdp=True)
    assert len(curve(one)) == 8
    assert curve(two) == pytest.approx(curve(one), rel=1e-3)
    a, b = (load_file(output / weights) for output in (one, two))
    assert a.keys() == b.keys()
    assert all(torch.allclose(a[name], b[name], atol=1e-3) for name in a)
    assert {path.name for path in one.iterdir()} == {path.name for path in two.iterdir()}


def configuration(name: str) -> Any:
    """As accelerate's own parser reads it; it refuses unknown keys."""
    return load_config_from_file(str(CONFIGS / name))


def test_the_launch_configurations_are_accelerates() -> None:
    assert {path.name for path in CONFIGS.iterdir()} == {"ddp.yaml", "fsdp.yaml", "deepspeed_zero3.yaml"}
    assert configuration("ddp.yaml").distributed_type == DistributedType.MULTI_GPU
    fsdp = configuration("fsdp.yaml")
    assert fsdp.distributed_type == DistributedType.FSDP
    assert fsdp.fsdp_config["fsdp_version"] == 2
    zero = configuration("deepspeed_zero3.yaml")
    assert zero.distributed_type == DistributedType.DEEPSPEED
    assert zero.deepspeed_config["zero_stage"] == 3
    assert zero.deepspeed_config["zero3_save_16bit_model"], "the first process writes the whole model"
