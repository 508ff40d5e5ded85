"""What benchmarks run out of their own folder."""

import subprocess
import sys
from pathlib import Path

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
