"""docker/gpu-workers: several workers on one machine, each with GPUs of its own."""

import subprocess

import pytest
import yaml

from tests.support.docker_files import DOCKER
from worker.settings import WorkerSettings


def gpu_workers(*ids: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(DOCKER / "gpu-workers"), *ids], capture_output=True, text=True)


def test_each_worker_gets_its_own_gpus() -> None:
    services = yaml.safe_load(gpu_workers("0,1", "2").stdout)["services"]
    given = {name: one["environment"]["NVIDIA_VISIBLE_DEVICES"] for name, one in services.items()}
    assert given == {"worker-gpu": "0,1", "worker-gpu-2": "2"}
    assert services["worker-gpu-2"]["extends"] == {"file": "compose.yaml", "service": "worker-gpu"}


@pytest.mark.parametrize("ids", [(), ("0", "0,1"), ("0; rm",)])
def test_a_gpu_that_two_would_get_and_what_is_none_are_refused(ids: tuple[str, ...]) -> None:
    done = gpu_workers(*ids)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_flags_of_vllm_in_the_environment_are_split_as_a_shell_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KODOLLY_JOIN_TOKEN", "t")
    monkeypatch.setenv("KODOLLY_WORKER_ENGINE_FLAGS", "-tp 2 --override-generation-config '{\"top_k\": 1}'")
    flags = WorkerSettings().engine_flags
    assert flags == ("-tp", "2", "--override-generation-config", '{"top_k": 1}')
