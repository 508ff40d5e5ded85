"""A misspelt variable is named, with where it stands and what was meant; what is none of ours is let be."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from kodolly.cli import root
from kodolly.environment_names import PREFIX, unknown_names, warn_of_unknown_names
from tests.support.docker_files import DOCKER, ROOT
from tests.support.processes import free_port, kodolly


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KODOLLY_GATEWAY_PROT", "KODOLLY_GATEWAY_PORT"),
        ("KODOLLY_GATWAY_PORT", "KODOLLY_GATEWAY_PORT"),
        ("kodolly_join_tokn", "KODOLLY_JOIN_TOKEN"),
        ("KODOLLY_WORKERS_CPU_THREADS", "KODOLLY_WORKER_CPU_THREADS"),
        ("KODOLLY_IMAGE_PREFX", "KODOLLY_IMAGE_PREFIX"),
        ("KODOLLY_QQQQQQQQ", ""),
        ("KODOLLY_" + "X" * 100_000, ""),
    ],
)
def test_a_misspelt_name_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, meant: str
) -> None:
    (tmp_path / ".env").write_text(f"{name}=1\nOPENAI_API_KEY=sk-1\n", encoding="utf-8")
    [unknown] = unknown_names()
    assert (unknown.name, unknown.source, unknown.meant) == (name, ".env", meant)
    monkeypatch.setenv(name, "2")
    [unknown] = unknown_names()
    assert unknown.source == "environment"
    text = str(unknown)
    assert name in text
    assert meant in text or "kodolly config show" in text


def test_each_part_is_told_its_own(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("KODOLLY_GATEWAY_PROT", "1")
    warn_of_unknown_names("worker")
    assert not caplog.records
    warn_of_unknown_names("gateway")
    assert "Did you mean KODOLLY_GATEWAY_PORT?" in caplog.text


def test_what_is_documented_is_known(tmp_path: Path) -> None:
    """Every name in the documents, Compose's files and the manifests, and what Kubernetes sets by itself."""
    places = [*DOCKER.rglob("*"), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    texts = [place.read_text(encoding="utf-8", errors="replace") for place in places if place.is_file()]
    names = set(re.findall(r"\bKODOLLY_[A-Z0-9_]*[A-Z0-9]\b", "\n".join(texts)))
    assert len(names) > 50
    links = [f"KODOLLY_GATEWAY_{of}" for of in ("SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_80_TCP_ADDR")]
    (tmp_path / ".env").write_text("".join(f"{name}=1\n" for name in sorted(names) + links))
    assert [unknown.name for unknown in unknown_names()] == []


def test_config_show_and_a_starting_part_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KODOLLY_CONTROLER_PORT", "1")
    shown = CliRunner().invoke(root, ["config", "show"])
    assert "KODOLLY_CONTROLER_PORT (from environment) is no setting" in shown.stderr
    argv = kodolly("controller", "--host", "0.0.0.300", "--port", str(free_port()))  # ends at once
    env = os.environ | {"KODOLLY_JOIN_TOKEN": "x", "KODOLLY_STATE_DIR": str(tmp_path)}
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert "Did you mean KODOLLY_CONTROLLER_PORT?" in done.stderr
