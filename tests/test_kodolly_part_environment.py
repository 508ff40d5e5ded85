"""A part of `kodolly up`, and an engine, get what they read from the environment and no secret of others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.child_environment import ENGINE, SYSTEM, child_environment
from kodolly.stack.parts import Ports, UpSettings, WorkerSpec, build_parts, part_env

SECRETS = (
    "KODOLLY_ADMIN_TOKEN",
    "KODOLLY_GATEWAY_DATABASE_URL",
    "KODOLLY_API_KEY",
    "KODOLLY_API_KEYS",
    "OPENAI_API_KEY",
    "UPSTAGE_API_KEY",
    "ANTHROPIC_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "PROVIDER_WITHOUT_A_TELLING_NAME",
    "HF_TOKEN",
    "VLLM_MADE_UP_SECRET",
    "OTEL_PRIVATE_KEY",
    "PGPASSWORD",
)
NEEDED = {
    "PATH": "/bin",
    "LANG": "ko_KR.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/x",
    "LD_LIBRARY_PATH": "/cuda",
    "SSL_CERT_FILE": "/ca.pem",
}
OF_ENGINES = {
    "CUDA_VISIBLE_DEVICES": "1",
    "VLLM_LOGGING_LEVEL": "DEBUG",
    "NCCL_SOCKET_IFNAME": "eth0",
    "OMP_NUM_THREADS": "2",
    "HF_HOME": "/models",
    "RAY_AUTH_TOKEN": "for the other nodes",
    "HTTPS_PROXY": "http://proxy:3128",
}
OWN = {
    "controller": {"KODOLLY_CONTROLLER_HOST": "0.0.0.0"},
    "webui": {"KODOLLY_WEBUI_HOST": "0.0.0.0", "KODOLLY_API_KEY": "secret", "GRADIO_TEMP_DIR": "/tmp/g"},
    "worker": {"KODOLLY_WORKER_HOST": "0.0.0.0"},
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KODOLLY_"):
            monkeypatch.delenv(name)
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    for name, value in (NEEDED | OF_ENGINES | {k: v for own in OWN.values() for k, v in own.items()}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("part", OWN)
def test_a_part_gets_what_it_reads_and_no_secret_of_others(tmp_path: Path, part: str) -> None:
    env = part_env(part, tmp_path)
    expected = NEEDED | OWN[part] | (OF_ENGINES if part == "worker" else {})
    assert env | expected == env
    assert {name for name in SECRETS if name in env} == OWN[part].keys() & set(SECRETS)
    others = {name for other, own in OWN.items() if other != part for name in own}
    assert not env.keys() & (others - OWN[part].keys())
    assert ("KODOLLY_JOIN_TOKEN" in env) == (part != "webui")
    assert env["KODOLLY_STATE_DIR"] == str(tmp_path)


def test_the_gateway_gets_the_keys_of_all_providers(tmp_path: Path) -> None:
    env = part_env("gateway", tmp_path)
    assert all(env[name] == "secret" for name in SECRETS)


def test_every_part_of_a_stack_has_its_own_environment(tmp_path: Path) -> None:
    settings = UpSettings(workers=(WorkerSpec(model=tmp_path / "a"),), state_dir=tmp_path)
    ports = Ports(controller=1, gateway=2, webui=3, first_worker=21002, documents=4)
    parts = {part.name.partition("-")[0]: part for part in build_parts(settings, ports, None)}
    assert [*parts] == ["controller", "documents", "gateway", "webui", "worker"]
    way_back = {"KODOLLY_DOCUMENTS_GATEWAY_URL": "http://127.0.0.1:2"}
    for kind, part in parts.items():
        assert part.env == part_env(kind, tmp_path) | (way_back if kind == "documents" else {}), kind
    assert parts["gateway"].argv[-2:] == ["--documents", "http://127.0.0.1:4"]
    tokens = {kind: part.env.get("KODOLLY_DOCUMENTS_TOKEN") for kind, part in parts.items()}
    assert tokens["gateway"] == tokens["documents"] != tokens["worker"] is None


def test_python_starts_in_such_an_environment() -> None:
    env = child_environment(os.environ, SYSTEM) | {"PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", "import kodolly, ssl; print('돌리')"], env=env, capture_output=True
    )
    assert done.stdout.decode() == "돌리\n"


def test_an_engine_gets_no_secret() -> None:
    env = child_environment(os.environ, (*SYSTEM, *ENGINE))
    assert not env.keys() & set(SECRETS)
    assert not any(name.startswith("KODOLLY_") for name in env)
    assert env | NEEDED | OF_ENGINES == env
