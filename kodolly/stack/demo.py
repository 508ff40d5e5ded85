"""The demo's models for `kodolly up --demo`."""

import subprocess
import sys
import time
from pathlib import Path

from common.errors import UserError
from finetune.demo.build import demo_directories
from kodolly.echo import echo_line
from kodolly.stack.parts import DEMO, WorkerSpec


def demo_workers(state_dir: Path) -> tuple[WorkerSpec, WorkerSpec]:
    """demo-base and demo-dolly, trained now when they are not there yet. Raises UserError."""
    directory = state_dir / DEMO
    began = time.monotonic()
    # A process of its own: the trainer's memory is back before the engines start.
    done = subprocess.run([sys.executable, "-m", "finetune.demo.build", str(directory)])
    if done.returncode != 0:
        raise UserError("The demo models could not be trained.", hint="The lines above say why.")
    echo_line(f"demo models ready in {time.monotonic() - began:.0f} s", err=True)
    base, dolly = demo_directories(directory)
    return WorkerSpec(model=base, name="demo-base"), WorkerSpec(model=dolly, name="demo-dolly")
