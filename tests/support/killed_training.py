"""A training run that is killed as soon as it has written a state."""

import os
import signal
import subprocess
from pathlib import Path

from tests.support.processes import kodolly, wait_for


def killed_mid_run(recipe: Path, output: Path, *settings: str) -> None:
    """`kodolly train` of the recipe, until SIGKILL."""
    argv = kodolly("train", str(recipe), *settings, "--output", str(output))
    state = output.with_name(f".{output.name}.training")
    log_file = recipe.with_name("killed.log")
    with log_file.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=recipe.parent, env=dict(os.environ))
    try:
        wait_for(lambda: len(list(state.glob("checkpoint-*/complete"))) >= 1, 400, process, log_file)
        os.kill(process.pid, signal.SIGSTOP)  # so that it cannot end before it is killed
        assert not output.exists()
    finally:
        process.kill()
        process.wait()
