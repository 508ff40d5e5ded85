"""The wire contract W1-W29, ours and peers', in front of the same engine, as one table.

    python benchmarks/conformance.py [--cache DIR] [--report FILE] [kodolly fastchat litellm ...]

Installs the peers (benchmarks/peers.py), starts each in front of two scripted engines (a chat model and a
model of embeddings), runs tests/conformance against it, and prints how many checks of each rule passed. A
rule whose checks were all not applicable shows `n/a`. --report names in a file what failed, and why.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks.peers import CACHE, peer_venv  # noqa: E402
from tests.support.conformance.stacks import ALIAS, KEY, limited_keys, started_gateway  # noqa: E402
from tests.support.gateway_stack import member  # noqa: E402
from tests.support.processes import free_port, running, scripted_engine, wait_for  # noqa: E402

CHAT, EMBED = "twin", "embed"
RULES = {
    1: "stream headers",
    2: "whole events, one [DONE]",
    3: "one id, model, role first",
    4: "object, finish_reason",
    5: "usage in streams",
    6: "several choices",
    7: "echo, lists, tokens",
    8: "tool calls",
    9: "logprobs",
    10: "structured outputs",
    11: "extra answer fields",
    12: "status before the stream",
    13: "error object everywhere",
    14: "status and code",
    15: "broken stream says so",
    16: "cut or aborted is failure",
    17: "request ids",
    18: "rate limit headers",
    19: "timing header",
    20: "headers that stay inside",
    21: "body byte for byte",
    22: "both token limits",
    23: "odd and hostile bodies",
    24: "list of models",
    25: "HEAD, OPTIONS, CORS",
    26: "embeddings, scores, audio",
    27: "messages and responses",
    28: "same as the engine",
    29: "replay, cut anywhere",
}


@dataclass(frozen=True)
class Engines:
    """The scripted engines that everybody gets."""

    chat: str
    embed: str


@dataclass(frozen=True)
class Started:
    """A service that runs."""

    base_url: str
    options: tuple[str, ...] = ()
    """More of the suite's options: what only this service has."""


@contextmanager
def kodolly(tmp: Path, engines: Engines, cache: Path) -> Iterator[Started]:
    """Our controller and gateway, with keys that have limits."""
    with started_gateway(tmp, CHAT) as (url, controller, _), ExitStack() as stack:
        for model, engine in ((CHAT, engines.chat), (EMBED, engines.embed)):
            stack.enter_context(member(controller, engine, model, model).kept())
        base_url = f"{url}/v1"
        asked = json.dumps({"model": CHAT, "messages": [{"role": "user", "content": "hi"}]}).encode()
        wait_for(lambda: answers(f"{base_url}/chat/completions", asked, 200), 30, what="the models")
        keys = limited_keys(url, CHAT, EMBED)
        options = [[f"--{name.replace('_', '-')}", str(key)] for name, key in keys.items()]
        yield Started(base_url, ("--alias", ALIAS, *(word for option in options for word in option)))


@contextmanager
def fastchat(tmp: Path, engines: Engines, cache: Path) -> Iterator[Started]:
    """FastChat's controller and API server, with a worker of ours for each engine."""
    python = str(peer_venv("fastchat", cache) / "bin" / "python")
    controller, server = free_port(), free_port()
    address = f"http://127.0.0.1:{controller}"
    env = {"LOGDIR": str(tmp)}
    with ExitStack() as stack:
        argv = [python, "-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", str(controller)]
        stack.enter_context(running(argv, tmp / "controller.log", None, env, tmp))
        wait_for(lambda: answers(f"{address}/list_models", b"{}", 200), 60, what="FastChat's controller")
        for model, engine in ((CHAT, engines.chat), (EMBED, engines.embed)):
            argv = [
                sys.executable,
                str(ROOT / "benchmarks" / "fastchat_bridge.py"),
                "--port",
                str(free_port()),
            ]
            argv += ["--engine", engine, "--model", model, "--controller", address]
            stack.enter_context(running(argv, tmp / f"bridge-{model}.log", None, env, ROOT))
        argv = [
            python,
            "-m",
            "fastchat.serve.openai_api_server",
            "--host",
            "127.0.0.1",
            "--port",
            str(server),
        ]
        argv += ["--controller-address", address, "--api-keys", KEY]
        stack.enter_context(running(argv, tmp / "server.log", None, env, tmp))
        yield Started(f"http://127.0.0.1:{server}/v1")


@contextmanager
def litellm(tmp: Path, engines: Engines, cache: Path) -> Iterator[Started]:
    """LiteLLM's proxy, with vLLM as the provider, which is what the engines imitate."""
    binary = str(peer_venv("litellm", cache) / "bin" / "litellm")
    models = [
        {
            "model_name": model,
            "litellm_params": {"model": f"hosted_vllm/{model}", "api_base": f"{url}/v1", "api_key": "none"},
        }
        for model, url in ((CHAT, engines.chat), (EMBED, engines.embed))
    ]
    config = {
        "model_list": models,
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False},
        # A failure that one check provokes must not count in the next.
        "router_settings": {"disable_cooldowns": True},
    }
    (tmp / "litellm.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    port = free_port()
    argv = [binary, "--config", str(tmp / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with running([*argv, "--num_workers", "1"], tmp / "litellm.log", None, env, tmp):
        yield Started(f"http://127.0.0.1:{port}/v1")


PEERS = {"kodolly": kodolly, "fastchat": fastchat, "litellm": litellm}


def answers(url: str, body: bytes, status: int) -> bool:
    """Whether a POST gets this status."""
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    try:
        with urlopen(Request(url, body, headers), timeout=5) as answer:
            return bool(answer.status == status)
    except HTTPError as error:
        return error.code == status
    except (URLError, OSError):
        return False


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    result: str
    """`pass`, `fail` or `n/a`."""
    reason: str

    def rule(self) -> int:
        """The number after W."""
        found = re.match(r"test_w(\d\d)_", self.name)
        return int(found.group(1)) if found else 0


def run_suite(started: Started, engines: Engines, report: Path) -> list[Check]:
    """All checks against one service."""
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "tests/conformance",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    argv += ["--base-url", started.base_url, "--api-key", KEY, "--model", CHAT, "--model-embed", EMBED]
    argv += ["--asks-for-keys", "--engine", engines.chat, "--engine", engines.embed]
    argv += started.options
    argv += ["--timeout", "60", f"--junitxml={report}", "-o", "junit_family=xunit1", "--tb=line"]
    subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    return [_check(case) for case in ElementTree.parse(report).iter("testcase")]


def _check(case: ElementTree.Element) -> Check:
    name = case.get("name", "")
    for kind, result in (("failure", "fail"), ("error", "fail"), ("skipped", "n/a")):
        if (found := case.find(kind)) is not None:
            return Check(name, result, (found.get("message") or "").splitlines()[0][:300])
    return Check(name, "pass", "")


def table(results: dict[str, list[Check]]) -> str:
    """One row a rule, one column a service: passed checks of those that apply."""
    lines = [f"{'rule':34}" + "".join(f"{name:>14}" for name in results)]
    for number, title in RULES.items():
        cells = []
        for checks in results.values():
            counts = Counter(check.result for check in checks if check.rule() == number)
            done = counts["pass"] + counts["fail"]
            verdict = "pass" if not counts["fail"] else "fail"
            cells.append(f"{verdict} {counts['pass']}/{done}" if done else "n/a")
        lines.append(f"W{number:<3}{title:30}" + "".join(f"{cell:>14}" for cell in cells))
    totals = [Counter(check.result for check in checks) for checks in results.values()]
    sums = [f"{total['pass']}/{total['pass'] + total['fail']}" for total in totals]
    return "\n".join([*lines, f"{'all checks':34}" + "".join(f"{cell:>14}" for cell in sums)])


def main() -> None:
    """Run the suite against each and print the table."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("names", nargs="*", default=list(PEERS), metavar="NAME", help="default: all")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the peers are installed")
    parser.add_argument("--report", type=Path, help="file for what failed and why")
    args = parser.parse_args()
    if unknown := set(args.names) - set(PEERS):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    results: dict[str, list[Check]] = {}
    for name in args.names:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            tmp = Path(folder)
            urls = [stack.enter_context(scripted_engine(tmp, model)) for model in (CHAT, EMBED)]
            engines = Engines(*urls)
            started = stack.enter_context(PEERS[name](tmp, engines, args.cache))
            hello = {"model": CHAT, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
            asked = json.dumps(hello).encode()
            wait_for(lambda: answers(f"{started.base_url}/chat/completions", asked, 200), 120, what=name)  # noqa: B023
            results[name] = run_suite(started, engines, tmp / "report.xml")
        print(f"{name}: {len(results[name])} checks in {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(table(results))
    if args.report:
        args.report.write_text(failures(results), encoding="utf-8")


def failures(results: dict[str, list[Check]]) -> str:
    """Every check that failed, and every one that did not apply, with its reason."""
    lines: list[str] = []
    for name, checks in results.items():
        for result in ("fail", "n/a"):
            found: Sequence[Check] = [check for check in checks if check.result == result]
            lines += [f"{name}: {len(found)} {result}", *(f"  {c.name}: {c.reason}" for c in found), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
