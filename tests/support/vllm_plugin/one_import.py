"""A plugin of vLLM's for the tests: a server on CPUs imports vLLM once instead of three times.

On CPUs vLLM starts its engine process anew, which imports everything a second time, and a third process to
look at a model's class that it sees for the first time. With `quick_vllm()` in its environment a server, also
one that `kodolly worker` starts, forks the first and does the second itself; the rest stays as shipped.
"""

import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any


def patch() -> None:
    """Called by vLLM in each of its processes before it starts others."""
    from vllm.model_executor.models import registry
    from vllm.v1.engine import utils

    vars(utils)["get_mp_context"] = partial(multiprocessing.get_context, "fork")
    vars(registry)["_run_in_subprocess"] = _at_once


def _at_once(look: Callable[[], Any]) -> Any:
    return look()
