"""Two network namespaces as two machines: the parts find each other by address, and outlive a cut cable.

Needs root and `ip` (iproute2). The machine's own network is not touched.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.operator_stack import Cluster, fake_vllm
from tests.support.processes import kodolly, running, wait_for
from tests.support.programs import first_installed

FIRST, SECOND = "10.231.7.1", "10.231.7.2"
"""Addresses of the two machines."""
CONTROLLER = f"http://{FIRST}:21001"
TOKEN = "two-hosts-join-token"
ENV = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_GATEWAY_IDLE_TIMEOUT_S": "5"}
"""With more patience than a busy machine needs between two tokens."""
CHAT = """
import json, sys, httpx2
url, tokens = sys.argv[1], int(sys.argv[2])
messages = [{"role": "user", "content": "안녕하세요"}]
body = {"model": "far", "messages": messages, "max_tokens": tokens, "stream": True}
with httpx2.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False) as answer:
    print(answer.status_code, flush=True)
    for line in answer.iter_lines():
        if line:
            print(line, flush=True)
"""


@dataclass(frozen=True)
class Host:
    """A network namespace with one cable to the other."""

    name: str

    def argv(self, argv: list[str]) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, argv: list[str], cwd: Path) -> str:
        done = self.ran(argv, cwd)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def ran(
        self, argv: list[str], cwd: Path, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        env = os.environ | ENV | (env or {})
        return subprocess.run(self.argv(argv), env=env, cwd=cwd, capture_output=True, text=True, check=False)

    def cable(self, state: str) -> None:
        ip("-n", self.name, "link", "set", "eth0", state)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    first_installed("ip")
    first, second = (Host(f"kodolly-{os.getpid()}-{number}") for number in (1, 2))
    with ExitStack() as stack:
        for host in (first, second):
            try:
                ip("netns", "add", host.name)
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
            stack.callback(ip, "netns", "delete", host.name)
        ip(
            "-n",
            first.name,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            second.name,
        )
        for host, address in ((first, FIRST), (second, SECOND)):
            ip("-n", host.name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", host.name, "link", "set", "lo", "up")
            host.cable("up")
        yield first, second


@pytest.mark.slow
def test_a_worker_on_another_machine_serves_and_comes_back_after_a_cut(
    hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    first, second = hosts
    gateway = f"http://{FIRST}:8000"
    chat = [sys.executable, "-c", CHAT, gateway]

    def serves() -> bool:
        return "[DONE]" in first.run([*chat, "1"], tmp_path)

    with ExitStack() as stack:

        def start(host: Host, argv: list[str], log: str) -> None:
            cwd = Path(__file__).parents[1] if "tests.support.scripted_engine" in argv else tmp_path
            env = ENV | {"KODOLLY_STATE_DIR": str(tmp_path / log)}
            stack.enter_context(running(host.argv(argv), tmp_path / f"{log}.log", env=env, cwd=cwd))

        start(first, kodolly("controller", "--host", FIRST), "controller")
        start(first, kodolly("gateway", "--host", FIRST, "--controller", CONTROLLER), "gateway")
        engine = [sys.executable, "-m", "tests.support.scripted_engine", "--host", SECOND, "--port", "9000"]
        start(second, [*engine, "--model", "far", "--gap-ms", "50"], "engine")
        attach = ["--attach", f"http://{SECOND}:9000", "--model", "far", "--controller", CONTROLLER]
        ready = f"http://{SECOND}:9000/health"
        probe = [sys.executable, "-c", f"import httpx2; httpx2.get({ready!r}).raise_for_status()"]
        wait_for(lambda: subprocess.run(second.argv(probe), capture_output=True).returncode == 0, 30)
        start(second, kodolly("worker", *attach), "worker")
        ps = kodolly("ps", "--json", "--controller", CONTROLLER)
        # The client's first answer may be a refusal: the worker is not ready before it was called back.
        wait_for(lambda: '"ready"' in _or_nothing(first, ps, tmp_path), 30, what="the worker to be ready")
        assert f"{SECOND}:9000" in first.run(ps, tmp_path)
        wait_for(serves, 30, what="the gateway to have heard of it")
        assert "far-2" in second.run([*chat, "3"], tmp_path), "a client on the other machine"

        asked = first.argv([*chat, "200"])
        with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "200\n"
            client.stdout.readline()
            second.cable("down")
            rest = client.stdout.read().splitlines()
        second.cable("up")
        assert rest[-1] == "data: [DONE]"
        assert "error" in json.loads(rest[-2].removeprefix("data: ")), "a cut stream is not a whole one"
        wait_for(serves, 30, what="the worker to be used again")


def _or_nothing(host: Host, argv: list[str], cwd: Path) -> str:
    return host.ran(argv, cwd).stdout


@dataclass(frozen=True)
class Operator:
    """Somebody at one machine, with a home and a state directory there."""

    host: Host
    home: Path
    env: dict[str, str]

    def says(self, *words: str, **env: str) -> tuple[int, str]:
        """What a command comes to."""
        ran = self.host.ran(kodolly(*words, "--controller", CONTROLLER), self.home, self.env | env)
        return ran.returncode, ran.stderr


@pytest.fixture
def operators(hosts: tuple[Host, Host], tmp_path: Path) -> tuple[Operator, Operator]:
    """Two checkpoints, `served` and `newer`, lie in the home of the second alone."""
    fake = fake_vllm(tmp_path)

    def at(host: Host, name: str) -> Operator:
        home = tmp_path / name
        home.mkdir()
        return Operator(host, home, fake | {"KODOLLY_STATE_DIR": str(home / "state")})

    first, second = at(hosts[0], "first"), at(hosts[1], "second")
    for name in ("served", "newer"):
        Cluster(second.home, [CONTROLLER], "", {}).checkpoint(name, kind=name)
    return first, second


@pytest.mark.slow
def test_a_checkpoint_is_deployed_and_promoted_on_the_machine_where_it_lies(
    operators: tuple[Operator, Operator],
) -> None:
    """The controller is on the first machine, what serves on the second."""
    first, second = operators
    open_to_others = {"KODOLLY_WORKER_HOST": SECOND}
    serve = ["worker", "served", "--name", "far", "--host", SECOND, "--controller", CONTROLLER]
    ps = kodolly("ps", "--json", "--controller", CONTROLLER)
    canary = ["deploy", "far", "newer", "--share", "20"]
    with ExitStack() as stack:
        for who, argv in ((first, ["controller", "--host", FIRST]), (second, serve)):
            log = who.home / "log"
            stack.enter_context(running(who.host.argv(kodolly(*argv)), log, env=ENV | who.env, cwd=who.home))
        wait_for(lambda: '"ready"' in _or_nothing(first.host, ps, first.home), 30, what="the worker")
        code, told = first.says("deploy", "far", "newer")
        assert (code, "does not exist on this machine" in told, SECOND in told) == (2, True, True), told
        code, told = second.says(*canary)
        assert (code, f"the controller on {FIRST} cannot reach it" in told) == (2, True), told
        code, told = second.says(*canary, **open_to_others)
        assert (code, "will not lead back" in told) == (0, True), told
        code, told = first.says("promote", "far")
        assert (code, "Run this where it was deployed" in told) == (2, True), told
        code, told = second.says("promote", "far", **open_to_others)
        assert code == 0, told
        code, told = first.says("drain", "far")
        assert code == 0, told


@pytest.mark.slow
def test_two_machines_train_one_adapter(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    from tests.support.tiny_training import make_base

    make_base(tmp_path)
    recipe = ["tune.yaml", "epochs=3", "batch_size=2", "smoke_test=false", "data.0.split=null"]
    argv = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    argv += ["--master-addr", FIRST, "--master-port", "29500"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0"}
    runs = [
        subprocess.Popen(
            host.argv(
                [*argv, "--node-rank", str(rank), "-m", "kodolly", "train", *recipe, "--output", "tuned"]
            ),
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, host in enumerate(hosts)
    ]
    answers = [run.communicate(timeout=200) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], [errors[-3000:] for _, errors in answers]
    assert [out.strip() for out, _ in answers] == ["tuned", ""], "only the first machine reports"
    assert (tmp_path / "tuned" / "adapter_model.safetensors").exists()
