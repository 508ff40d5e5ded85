"""The reason of a vLLM's end is found among its lines, and what to do about it is said in the same one."""

import pytest

from common.engine_failure import advice_on, last_error

API, LOGGED = "(APIServer pid=7) ", "(APIServer pid=7) ERROR 11-29 14:05:00 [registry.py:1120] "
TAIL = "[type=value_error, input_value=ArgsKwargs((), {'model': 'x'}), input_type=ArgsKwargs]"
INVALID = "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig"
INSPECTED = (
    f"{LOGGED}Error in inspecting model architecture 'Qwen3_5ForConditionalGeneration'",
    f"{LOGGED}Traceback (most recent call last):",
    f"{LOGGED}RuntimeError: Error raised in subprocess:",
    f"{LOGGED}    from torchvision.transforms.v2 import functional as tvF",
    f"{LOGGED}ModuleNotFoundError: No module named 'torchvision'",
    f"{API}Traceback (most recent call last):",
    f"{API}{INVALID}",
    f"{API}  Value error, Model architectures ['Qwen3_5'] failed to be inspected. Please check. {TAIL}",
    f"{API}    For further information visit the errors page",
)
STARTED = (
    f"{LOGGED}ModuleNotFoundError: No module named 'torchvision'",
    "(EngineCore pid=9) ERROR 11-30 01:39:30 [core.py:1510] EngineCore failed to start.",
    "(EngineCore pid=9) ERROR 11-30 01:39:30 [core.py:1510] Traceback (most recent call last):",
    "(EngineCore pid=9) ERROR 11-30 01:39:30 [core.py:1510] ValueError: Model architectures ['G'] failed "
    "to be inspected. Please check the logs for more details.",
    f"{API}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}",
)
TOO_LONG = (
    INVALID,
    f"  Value error, User-specified max_model_len (9000) is greater than the derived max_model_len. {TAIL}",
)
CACHE = (
    "(EngineCore pid=9) ValueError: To serve at least one request with the model's max seq len (4096), "
    "(2.0 GiB KV cache is needed, which is larger than the available KV cache memory (1.0 GiB).",
    f"{API}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}",
)


@pytest.mark.parametrize(
    ("printed", "reason", "advice"),
    [
        (INSPECTED, "ModuleNotFoundError: No module named 'torchvision'", "vLLM needs torchvision"),
        (STARTED, "ModuleNotFoundError: No module named 'torchvision'", "the build for its version of torch"),
        (TOO_LONG, "User-specified max_model_len (9000) is greater", "a --max-model-len that the model has"),
        (CACHE, "ValueError: To serve at least one request", "worker.cpu_kv_cache_gib"),
        (("OSError: [Errno 98] address already in use",), "OSError: [Errno 98]", "another --port"),
    ],
)
def test_the_cause_is_told_with_what_to_do(printed: tuple[str, ...], reason: str, advice: str) -> None:
    found = last_error(printed)
    assert found.startswith(reason)
    assert "[type=" not in found
    assert "\n" not in found
    assert advice in advice_on(found)


def test_what_is_no_error_has_no_reason() -> None:
    assert last_error(["INFO 11-29 14:05:00 [core.py:1] Starting", "loading weights"]) == ""
    assert advice_on("ValueError: 모델이 너무 큽니다") == ""
