"""A conversion over all cores that is stopped, killed or lost: nothing half, nothing left, and it goes on."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.data.convert import run as converting
from finetune.data.convert.run import ConvertRequest, convert
from tests.support.convert_samples import (
    ALPACA,
    SHAREGPT,
    read_lines,
    write_lines,
)
from tests.support.processes import PATIENCE_S, kodolly


def test_an_input_is_never_its_own_output(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ALPACA)
    with pytest.raises(UserError, match="is both input and output"):
        convert(ConvertRequest((path,), path))
    with pytest.raises(UserError, match=r"missing\.jsonl cannot be read: No such file"):
        convert(ConvertRequest((tmp_path / "missing.jsonl",), path))


def many(path: Path, count: int) -> Path:
    with path.open("w") as file:
        for n in range(count):
            file.write(
                json.dumps(ALPACA | {"id": n, "output": f"{n} " + ALPACA["output"] * 3}, ensure_ascii=False)
                + "\n"
            )
            if n % 1000 == 7:
                file.write("{broken\n")
    return path


def endless(path: Path) -> Path:
    """More rows than any machine converts before a test has looked at it once."""
    thousand = many(path, 1_000).read_bytes()
    with path.open("wb") as file:
        for _ in range(1_500):
            file.write(thousand)
    return path


@pytest.mark.slow
def test_all_cores_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = many(tmp_path / "in.jsonl", 12_000)
    convert(ConvertRequest((path,), tmp_path / "one.jsonl"))
    monkeypatch.setattr(converting, "_ONE_PROCESS_BYTES", 0)
    convert(ConvertRequest((path,), tmp_path / "all.jsonl"))
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "all.jsonl").read_bytes()
    one, every = (read_lines(tmp_path / f"{name}.rejected.jsonl") for name in ("one", "all"))
    assert one == every
    assert len(one) == 12


@pytest.mark.slow
def test_an_interrupted_conversion_goes_on_and_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(converting, "_JOURNAL_EVERY_S", -1.0)
    inputs = (many(tmp_path / "a.jsonl", 20_000), write_lines(tmp_path / "b.jsonl", *[SHAREGPT] * 3))
    whole = convert(ConvertRequest(inputs, tmp_path / "whole.jsonl"))
    seen = 0

    class Killed(BaseException):
        pass

    def stop(_progress: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise Killed

    output = tmp_path / "rows.jsonl"
    with pytest.raises(Killed):
        convert(ConvertRequest(inputs, output), stop)
    assert not output.exists()
    calls: list[object] = []
    resumed = convert(ConvertRequest(inputs, output), calls.append)
    assert resumed.resumed
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert resumed.total == whole.total
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]

    seen = 0
    with pytest.raises(Killed):
        convert(ConvertRequest(inputs, output), stop)
    other = convert(ConvertRequest(inputs, output, strict=True))
    assert not other.resumed
    assert all("meta" not in row for row in read_lines(output))


def workers_of(pid: int) -> list[int]:
    """The processes that convert for `pid`."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


@pytest.mark.slow
def test_sigkill_leaves_no_half_output_and_no_process_and_the_same_command_ends_it(tmp_path: Path) -> None:
    path = many(tmp_path / "in.jsonl", 70_000)
    command = kodolly("data", "convert", str(path), str(tmp_path / "rows.jsonl"))
    part = tmp_path / ".rows.jsonl.converting.rows"
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (part.exists() and part.stat().st_size > 1_000_000):
            assert running.poll() is None
            time.sleep(0.01)
        workers = workers_of(running.pid)
    finally:
        running.kill()
        running.wait()
    assert workers
    assert not (tmp_path / "rows.jsonl").exists()
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{worker}") for worker in workers):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "70,000 rows" in done.stdout
    assert "70 refused, the first in line 9: not valid JSON" in done.stdout
    reference = convert(ConvertRequest((path,), tmp_path / "whole.jsonl"))
    assert (tmp_path / "rows.jsonl").read_bytes() == reference.output.read_bytes()


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_tells_how_to_go_on(tmp_path: Path) -> None:
    path = endless(tmp_path / "in.jsonl")
    command = kodolly("data", "convert", str(path), str(tmp_path / "rows.jsonl"))
    part = tmp_path / ".rows.jsonl.converting.rows"
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (part.exists() and part.stat().st_size > 1_000_000):
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 2
    assert said.strip().endswith("kodolly: Interrupted. The same command goes on from here.")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_command_in_one_line(tmp_path: Path) -> None:
    path = endless(tmp_path / "in.jsonl")
    command = kodolly("data", "convert", str(path), str(tmp_path / "rows.jsonl"))
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    workers: list[int] = []
    while not workers:
        assert running.poll() is None
        workers = workers_of(running.pid)
        time.sleep(0.01)
    os.kill(workers[0], signal.SIGKILL)
    _, said = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 2
    assert "kodolly: A process that converts was killed" in said
    assert "Traceback" not in said
    assert not (tmp_path / "rows.jsonl").exists()


@pytest.mark.slow
def test_memory_stays_flat(tmp_path: Path) -> None:
    peaks = []
    for count in (50_000, 150_000):
        path = many(tmp_path / f"{count}.jsonl", count)
        code = (
            "import resource, sys; from pathlib import Path; "
            "from finetune.data.convert.run import ConvertRequest, convert; "
            "convert(ConvertRequest((Path(sys.argv[1]),), Path(sys.argv[2]))); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        python = kodolly()[0]
        done = subprocess.run(
            [python, "-c", code, path, tmp_path / "rows.jsonl"], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, peaks
