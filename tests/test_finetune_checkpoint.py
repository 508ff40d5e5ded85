"""Directories that are there whole or not at all."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from finetune.files.whole import require_room, whole_directory


def test_a_directory_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "dolly"
    with whole_directory(target) as part:
        (part / "weights").write_text("w")
        assert not target.exists()
        assert part.parent == target.parent
    assert [path.name for path in target.parent.iterdir()] == ["dolly"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_directory(tmp_path / "dolly") as part:
        (part / "weights").write_text("w")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"), whole_directory(tmp_path):
        pytest.fail("not reached")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="No space left on device"),
        whole_directory(tmp_path / "dolly") as part,
    ):
        (part / "weights").write_text("w")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_is_not_taken_for_whole_and_is_cleaned_up(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from finetune.files.whole import whole_directory\n"
        "with whole_directory(Path(sys.argv[1])) as part:\n"
        "    (part / 'kodolly.json').write_text('{}'); print('half', flush=True); time.sleep(60)"
    )
    target = tmp_path / "dolly"
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert len(list(tmp_path.iterdir())) == 1
    with whole_directory(target) as part:
        (part / "weights").write_text("w")
    assert [path.name for path in tmp_path.iterdir()] == ["dolly"]


@pytest.mark.parametrize(("mark", "left"), [("a", ["shard"]), ("b", []), (None, [])])
def test_a_run_goes_on_with_what_a_killed_one_of_the_same_mark_left(
    tmp_path: Path, mark: str | None, left: list[str]
) -> None:
    part = tmp_path / ".dolly.partial"
    with whole_directory(tmp_path / "dolly", "a"):
        (part / "shard").write_text("w")
        shutil.copytree(part, tmp_path / "as-it-was")
    (tmp_path / "dolly" / "shard").unlink()
    (tmp_path / "dolly").rmdir()
    (tmp_path / "as-it-was").rename(part)  # a kill would have left just this
    with whole_directory(tmp_path / "dolly", mark):
        assert [path.name for path in part.iterdir() if not path.name.startswith(".")] == left
    assert sorted(path.name for path in (tmp_path / "dolly").iterdir()) == left


def test_one_run_never_clears_away_what_another_is_writing(tmp_path: Path) -> None:
    target = tmp_path / "dolly"
    with whole_directory(target) as part:
        (part / "weights").write_text("w")
        with pytest.raises(UserError, match="Another run is writing"), whole_directory(target):
            pytest.fail("not reached")
    assert [path.name for path in target.iterdir()] == ["weights"]


def test_weights_that_do_not_fit_are_one_clear_line_and_leave_nothing(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk: safetensors meets it in the same place."""
    code = (
        "import resource, sys; from pathlib import Path; import numpy\n"
        "from safetensors.numpy import save_file; from common.errors import UserError\n"
        "from finetune.files.whole import whole_directory\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    with whole_directory(Path(sys.argv[1])) as part:\n"
        "        save_file({'weight': numpy.zeros(100_000)}, part / 'model.safetensors')\n"
        "except UserError as error: print(error)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path / "dolly")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert "dolly cannot be written: File too large. Nothing was left behind." in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_the_work(tmp_path: Path) -> None:
    require_room(tmp_path, 1000)
    with pytest.raises(UserError, match="MB free; the result needs about"):
        require_room(tmp_path, 10**18)
