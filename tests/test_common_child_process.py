"""When a child is started again, how its end is told, and that it ends with its parent."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.child_process import PAUSES_S, STABLE_S, Backoff, ending_with_parent, how_it_ended
from tests.support.processes import wait_for


def test_pauses_grow_and_begin_again_after_a_stable_run() -> None:
    backoff = Backoff()
    assert [backoff.pause_s(0.0) for _ in range(8)] == [*PAUSES_S, 30.0, 30.0]
    assert backoff.pause_s(STABLE_S - 1) == 30.0
    assert [backoff.pause_s(STABLE_S + 1), backoff.pause_s(0.0)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (2, "exit code 2"), (-9, "killed by SIGKILL"), (-35, "killed by signal 35")],
)
def test_each_end_has_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def test_a_program_that_is_not_there_is_said_before_anything_is_started() -> None:
    with pytest.raises(FileNotFoundError):
        ending_with_parent(["/no/such/program"])


async def test_a_child_keeps_its_pid_arguments_and_exit_code() -> None:
    script = "import os, sys; print(os.getpid(), sys.argv[1:]); sys.exit(7)"
    process = await asyncio.create_subprocess_exec(
        *ending_with_parent([sys.executable, "-c", script, "-x", "한글"]), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert (said.decode().strip(), process.returncode) == (f"{process.pid} ['-x', '한글']", 7)


def test_a_child_of_a_killed_parent_gets_sigterm(tmp_path: Path) -> None:
    told, pid_file = tmp_path / "told", tmp_path / "pid"
    child = (
        "import os, pathlib, signal, sys\n"
        f"told = lambda *_: (pathlib.Path({str(told)!r}).touch(), sys.exit())\n"
        "signal.signal(signal.SIGTERM, told)\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n"
        "signal.pause()\n"
    )
    parent = (
        "import subprocess, sys\nfrom common.child_process import ending_with_parent\n"
        f"subprocess.run(ending_with_parent([sys.executable, '-c', {child!r}]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=Path(__file__).parents[1])
    wait_for(lambda: pid_file.exists() and bool(pid_file.read_text()), 60, what="the child")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(told.exists, 60, what="the child to be told")
