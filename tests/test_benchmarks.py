"""What benchmarks run out of their own folder."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.loop_watch import shared_figures

WATCH = Path(__file__).parents[1] / "benchmarks" / "loop_watch.py"


def test_a_command_under_the_loop_watch_finds_every_package(tmp_path: Path) -> None:
    """`webui`, for one, as a module of benchmarks/ has that name too."""
    figures = tmp_path / "figures"
    shared_figures(figures, new=True)
    watched = [sys.executable, str(WATCH), str(figures), "config", "show"]
    shown = subprocess.run(watched, capture_output=True, text=True, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "webui" in shown.stdout


@pytest.mark.slow
def test_the_benchmark_for_gpus_goes_through_every_step_without_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figures mean nothing here, least of all side by side, so that aims may be missed."""
    run = gpu.Run(gpu.SHAPES["tiny"], "lora", tmp_path, steps=3, on_gpu=False)
    assert gpu.make_base(run) == {"device": "CPU"}
    with ThreadPoolExecutor() as side_by_side:
        trl = side_by_side.submit(gpu.measure, "trl", run, "tiny")
        ours = gpu.measure("kodolly", run, "tiny")
        missed = gpu.show(ours, trl.result())
    assert ours["optimizer"] == pytest.approx(ours["plan of optimizer"], rel=0.01)
    assert ours["gradients"] == ours["plan of gradients"]
    _speed, peak, *terms, merged = capsys.readouterr().out.splitlines()
    assert ("tokens/s" in " ".join(missed)) == (ours["tokens/s"] < trl.result()["tokens/s"])
    assert re.match(r"  peak       0\.\d+ GB; plan 0\.\d+ GB, [+-]\d+%; TRL 0\.", peak)
    assert [line[4:27].strip() for line in terms] == list(gpu.CONSTANTS)
    assert merged.endswith("100.0% of tokens agree")


def test_the_benchmark_for_gpus_says_so_without_one() -> None:
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run([sys.executable, gpu.__file__], capture_output=True, text=True, env=hidden)
    assert (ran.returncode, len(ran.stdout.splitlines())) == (3, 1)
    assert "no GPU" in ran.stdout
    misspelt = [sys.executable, gpu.__file__, "--methods", "lora,loar"]
    ran = subprocess.run(misspelt, capture_output=True, text=True, env=hidden)
    assert (ran.returncode, "loar: there are lora, qlora, full" in ran.stderr) == (2, True)
