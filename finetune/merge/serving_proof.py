"""Proof that vLLM's own renderer makes the same tokens of every prompt as training; it needs no weights or
GPU."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import httpx2

from common.chat_message import ChatMessage
from common.child_environment import ENGINE, SYSTEM, child_environment
from common.child_process import ending_with_parent
from common.engine_failure import advice_on, last_error
from common.errors import UserError
from finetune.encoding.own_settings import own_settings, own_template
from finetune.encoding.own_template import EngineConversation
from finetune.models.adapter import Probe
from finetune.progress import Progress, Report, finished

RENDERER = "vllm.entrypoints.launchers.render.entry"
"""Module of `vllm launch render` (vLLM 0.32)."""
MODEL = "proof"
START_LIMIT_S = 180.0
SOCKET = "vllm"
SOCKET_BYTES = 103
"""Longest path of a Unix socket, on macOS; on Linux it is 107 (unix(7))."""
_DETAIL = 300


def has_renderer() -> bool:
    """Whether an installed vLLM has the renderer; nothing of it is loaded to find out."""
    try:
        return importlib.util.find_spec("vllm") is not None and importlib.util.find_spec(RENDERER) is not None
    except ImportError:
        return False


def prove_serving(
    directory: Path, tokenizer: Any, probes: Sequence[Probe], name: str, report: Report
) -> dict[str, float]:
    """The metric `serving_prompts`: the number of probes of which vLLM makes the tokens that training saw.

    tokenizer: with the template's settings. A template that asks for the date is compared with today's, as
    vLLM gives it no other. Where vLLM's renderer does not start, the metric is 0 and `report` says why under
    `name`. Raises UserError when a prompt differs.
    """
    stage, settings = f"{name}: proving", own_settings(tokenizer)
    assert settings is not None
    own = own_template(tokenizer, replace(settings, day=date.today() if settings.day else None))
    try:
        with vllm_server(RENDERER, directory) as vllm:
            for number, probe in enumerate(probes, start=1):
                conversation = EngineConversation(probe.messages, probe.tools, probe.template_kwargs)
                expected = own.ids(own.render(conversation, len(probe.messages) - 1, prompt=True))
                _compare(tokenizer, _rendered(vllm, probe), expected)
                report(Progress(stage, number / len(probes), "prompts as vLLM renders them"))
    except NotStartedError as error:
        report(finished(stage, f"vLLM's renderer did not start, its prompts were not compared: {error}"))
        return {"serving_prompts": 0}
    return {"serving_prompts": len(probes)}


def _compare(tokenizer: Any, made: list[int], expected: list[int]) -> None:
    if made == expected:
        return
    shown = [repr(tokenizer.decode(ids)[-_DETAIL:]) for ids in (made, expected)]
    raise UserError(
        f"vLLM makes other tokens of a prompt than training saw: {shown[0]} in place of {shown[1]}.",
        hint="The checkpoint was not written. Train with a template that vLLM renders alike.",
    )


class NotStartedError(Exception):
    """A server of vLLM does not start here; the text says why."""


def as_client_sends(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Messages as a client sends them to vLLM: arguments as JSON text, thoughts under vLLM's name."""
    sent = []
    for message in messages:
        made = {key: value for key, value in message.items() if key != "reasoning_content"}
        if thought := message.get("reasoning_content"):
            made["reasoning"] = thought
        if calls := message.get("tool_calls"):
            made["tool_calls"] = [{**call, "function": _as_text(call["function"])} for call in calls]
        sent.append(made)
    return sent


def _as_text(function: Mapping[str, object]) -> dict[str, object]:
    return {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}


def _rendered(vllm: httpx2.Client, probe: Probe) -> list[int]:
    return rendered_prompt(vllm, MODEL, probe.messages[:-1], probe.tools, probe.template_kwargs)


def rendered_prompt(
    vllm: httpx2.Client,
    model: str,
    messages: Sequence[ChatMessage],
    tools: Sequence[Mapping[str, object]],
    template_kwargs: Mapping[str, object],
) -> list[int]:
    """The token ids of the prompt that `vllm` makes of the messages. Raises UserError."""
    body: dict[str, object] = {
        "model": model,
        "messages": as_client_sends(messages),
        "chat_template_kwargs": template_kwargs,
    }
    if tools:
        # "auto" would require a parser of tool calls, which does not change the prompt.
        body |= {"tools": list(tools), "tool_choice": "none"}
    answered = vllm.post("/v1/chat/completions/render", json=body, timeout=60)
    if answered.status_code != 200:
        raise UserError(f"vLLM does not render a training conversation: {answered.text[:_DETAIL]}")
    ids: list[int] = answered.json()["token_ids"]
    return ids


@contextmanager
def socket_folder() -> Iterator[Path]:
    """An empty folder in which a socket SOCKET may be, however deep TMPDIR lies."""
    place = tempfile.gettempdir()
    longest = len(os.fsencode(place)) + len(f"/kodolly-xxxxxxxx/{SOCKET}")
    with tempfile.TemporaryDirectory(
        prefix="kodolly-", dir=place if longest <= SOCKET_BYTES else "/tmp"
    ) as made:
        yield Path(made)


@contextmanager
def vllm_server(module: str, directory: Path, *flags: str) -> Iterator[httpx2.Client]:
    """A server of vLLM for `directory`, by the module that is its command. Raises NotStartedError.

    It listens in a folder of its own: a port could be another program's by the time that it is up.
    """
    argv = [sys.executable, "-m", module, "--model", str(directory), "--served-model-name", MODEL, *flags]
    env = child_environment(os.environ, (*SYSTEM, *ENGINE))
    env |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    # Of an engine on a CPU: the least memory, and one process, which starts sooner and says why it did not.
    env |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    with socket_folder() as folder, tempfile.TemporaryFile() as log:
        socket_file = str(folder / SOCKET)
        argv += ["--uds", socket_file]
        process = subprocess.Popen(ending_with_parent(argv), env=env, stdout=log, stderr=log)
        try:
            transport = httpx2.HTTPTransport(uds=socket_file)
            with httpx2.Client(base_url="http://vllm", transport=transport, trust_env=False) as vllm:
                _wait(process, lambda: _listens(socket_file) and _is_well(vllm), log)
                yield vllm
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(socket_file: str) -> bool:
    """Whether somebody does. The HTTP client leaves a socket open for each time that nobody did."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(socket_file) == 0


def _is_well(vllm: httpx2.Client) -> bool:
    try:
        return vllm.get("/health", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


def _wait(process: "subprocess.Popen[bytes]", is_up: Callable[[], bool], log: BinaryIO) -> None:
    end = time.monotonic() + START_LIMIT_S
    while not is_up():
        if process.poll() is not None or time.monotonic() > end:
            log.seek(0)
            lines = log.read().decode(errors="replace").strip().splitlines()
            error = last_error(lines) or "".join(lines[-1:])[:_DETAIL]
            raise NotStartedError(" ".join(filter(None, (error, advice_on(error)))))
        time.sleep(0.2)
