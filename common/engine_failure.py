"""Why a vLLM ended, out of what it printed, and what to do about it."""

import re
from collections.abc import Iterable

LONGEST = 300
"""Most characters of a reason."""
SUMMARIES = (
    "See root cause above",
    "See stack trace",
    "failed to be inspected",
    "validation error for",
    "Error in inspecting model architecture",
    "Error raised in subprocess",
    "Engine core initialization failed",
    "EngineCore failed to start",
    "Traceback (most recent call last)",
    "The above exception was",
    "During handling of the above",
)
"""vLLM repeats a failure in these words, in other processes or after the line that says what it was."""
_SIGN = re.compile(r"Error|ERROR|^\s*Value error, ")
_PREFIX = re.compile(r"^(?:\([^()]*pid=\d+\) )?(?:(?:ERROR|CRITICAL)\s+[\d-]+\s+[\d:]+\s+\[[^\]]*\] ?)?")
_TAIL = re.compile(r"\s*\[type=\w+, input_value=.*$")
_INVALID = "Value error, "
"""How pydantic begins the line with a setting's fault."""
_MODULE = re.compile(r"No module named '([\w.]+)'|requires the (\S+) library")
_ADVICE = (
    (
        re.compile(r"larger than the available KV cache|No available memory for the cache blocks"),
        "Give vLLM more memory or the model a shorter context: `-- --max-model-len N`; on a GPU "
        "`--gpu-memory-utilization`, on a CPU `worker.cpu_kv_cache_gib`.",
    ),
    (
        re.compile(r"out of memory|OutOfMemory|Free memory on device"),
        "Take a smaller model or a shorter context (`-- --max-model-len N`), or stop what else uses the GPU.",
    ),
    (
        re.compile(r"greater than the derived max_model_len"),
        "Give a --max-model-len that the model has.",
    ),
    (
        re.compile(r"[Aa]ddress already in use"),
        "Another program listens there: give another --port.",
    ),
    (
        re.compile(r"are not supported for now|not supported anymore|not supported in-tree"),
        "This version of vLLM has no such model.",
    ),
    (
        re.compile(r"trust_remote_code|trust-remote-code"),
        "The model brings code of its own, which kodolly does not run.",
    ),
)
"""What vLLM 0.32 says (v1/core/kv_cache_utils.py, config/model.py, registry.py) -> what to do."""


def error_in(line: str) -> str:
    """What `line` says if it looks like the reason of a failure, without vLLM's marks around it; else ""."""
    if not _SIGN.search(line) or any(words in line for words in SUMMARIES):
        return ""
    said = _TAIL.sub("", _PREFIX.sub("", line, count=1)).rstrip()
    if (invalid := said.lstrip()).startswith(_INVALID):
        return invalid.removeprefix(_INVALID)[:LONGEST]
    return "" if said.startswith("  ") else said.strip()[:LONGEST]  # a line of code in a traceback


def last_error(lines: Iterable[str]) -> str:
    """The reason in the last of the lines that has one; "" where none has."""
    return next((found for line in reversed(list(lines)) if (found := error_in(line))), "")


def advice_on(error: str) -> str:
    """What to do about an error that `error_in` found; "" where nothing is known."""
    if (missing := _MODULE.search(error)) is not None:
        package = (missing[1] or missing[2]).partition(".")[0]
        return (
            f"vLLM needs {package} for this model: install it beside vLLM, in the build for its version of "
            "torch. Where there is none, as for vLLM's CPU version on PyPI, the model needs a GPU."
        )
    return next((said for pattern, said in _ADVICE if pattern.search(error)), "")
