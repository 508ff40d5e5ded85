"""The command line: every bad input is one clear line and a non-zero exit."""

import os
import subprocess
from pathlib import Path

import pytest

from kodolly.stack.parts import join_token, threads_each
from tests.support.forked_kodolly import run_kodolly
from tests.support.processes import free_port


def run(cwd: Path, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("KODOLLY_", "OPENAI_"))}
    return run_kodolly(*args, cwd=cwd, env=clean | env)


def assert_one_line(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()
    assert len(last) == 1 or last[0].startswith("Usage:")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["upp"], "Did you mean `up`?"),
        (["up", "--port", "99999"], "Invalid value for '--port'"),
        (["up", "--nonsense"], "No such option"),
        (["up", "--config", "none.yaml"], "none.yaml does not exist"),
        (["up", "no-such-model"], "no-such-model is not a checkpoint"),
        (["gateway", "--config", "none.yaml"], "none.yaml does not exist"),
        (["controller"], "join_token"),
        (["ask", "--gateway", "http://127.0.0.1:9", "안녕"], "No gateway answers at http://127.0.0.1:9"),
        (["models", "--gateway", "http://127.0.0.1:9"], "Start one with `kodolly up`"),
        (["ask", "-t", "9", "안녕"], "Invalid value for '-t'"),
        (["worker"], "Missing argument"),
        (["deploy", "dolly", ".", "--share", "nan"], "nan is not a finite number"),
        (["improve", "dolly", "--days", "inf"], "inf is not a finite number"),
        (["improve", "dolly", "--share", "0.001"], "0.001 is not in the range 0.01<=x<=99.99"),
        (["data", "from-feedback", "--output", "x", "--replay-share", "nan"], "nan is not a finite number"),
        (["improve", "dolly", "--no-deploy", "--gateway", "http://["], "No gateway answers"),
        (["improve", "dolly", "--no-deploy", "--runs", "/dev/null"], "No turn can be kept in /dev/null"),
        (["feedback", "forget", ""], "RATER: it is empty"),
    ],
)
def test_bad_input_is_one_clear_line(tmp_path: Path, args: list[str], words: str) -> None:
    assert_one_line(run(tmp_path, *args), words)


def test_a_broken_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "kodolly.yaml").write_text("gateway: {port: abc}\n")
    for command in (["up"], ["gateway"], ["config", "show"], ["doctor"]):
        assert_one_line(run(tmp_path, *command, KODOLLY_JOIN_TOKEN="t"), "gateway.port (from kodolly.yaml)")


def test_a_state_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file in its place")
    assert_one_line(run(tmp_path, "up", KODOLLY_STATE_DIR=str(tmp_path / "state")), "cannot be written")


def test_config_show_names_sources_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / "kodolly.yaml").write_text("gateway: {port: 8123}\n")
    env = {
        "KODOLLY_JOIN_TOKEN": "hidden-token",
        "KODOLLY_WEBUI_PORT": "7999",
        "KODOLLY_API_KEYS": '["hidden-key"]',
    }
    done = run(tmp_path, "config", "show", **env)
    assert done.returncode == 0
    assert "gateway.port = 8123  (kodolly.yaml)" in done.stdout
    assert "webui.port = 7999  (environment)" in done.stdout
    assert "hidden" not in done.stdout
    bare = run(tmp_path, "config", "show")
    assert "controller.join_token = (required, not set)  (default)" in bare.stdout


def test_doctor_without_a_stack_warns_and_shows_no_key(tmp_path: Path) -> None:
    ports = {f"KODOLLY_{part}_PORT": str(free_port()) for part in ("GATEWAY", "WEBUI", "CONTROLLER")}
    done = run(tmp_path, "doctor", OPENAI_API_KEY="sk-secret", HTTPS_PROXY="http://proxy", **ports)
    assert done.returncode == 0, done.stdout
    assert "not running" in done.stdout
    assert "OPENAI_API_KEY is set" in done.stdout
    assert "NO_PROXY" in done.stdout
    assert "sk-secret" not in done.stdout + done.stderr


def test_version_is_printed(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout.startswith("kodolly 0.")


def test_the_join_token_is_made_once_and_kept_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KODOLLY_JOIN_TOKEN", raising=False)
    token = join_token(tmp_path / "state")
    assert len(token) > 30
    assert join_token(tmp_path / "state") == token
    assert (tmp_path / "state" / "join-token").stat().st_mode & 0o777 == 0o600


def test_engines_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert [threads_each(n) for n in (1, 2, 3, 9)] == [8, 4, 2, 1]
