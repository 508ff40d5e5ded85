"""How a scripted engine is to behave, what it has seen, and the metrics it shows of that."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tests.support.scripted_manners import MANNERS, Manner


@dataclass
class Script:
    """How to behave, and what was seen."""

    model: str
    key: str
    adapters: tuple[str, ...] = ()
    mode: str = "ok"
    gap_s: float = 0.0
    health: int = 200
    running: int = 0
    tokens: int = 0
    cancelled: int = 0
    split: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    error: Any = None
    manner: Manner = MANNERS["vllm"]
    refuses: list[str] = field(default_factory=list)
    forgets: bool = False
    replay: bytes = b""
    requests: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    responses: dict[str, dict[str, Any]] = field(default_factory=dict)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def at_token(self, name: str) -> int | None:
        """K of the mode `name:K`, else None."""
        mode, _, number = self.mode.partition(":")
        return int(number or 0) if mode == name else None


def metrics(script: Script) -> str:
    """The samples of vLLM 0.32's Prometheus page that a worker reads."""
    labels = f'{{engine="0",model_name="{script.model}"}}'
    values = {
        "num_requests_running": script.running,
        "num_requests_waiting": 0.0,
        "kv_cache_usage_perc": 0.25 if script.running else 0.0,
        "generation_tokens_total": script.tokens,
    }
    return "".join(
        f"# TYPE vllm:{name} gauge\nvllm:{name}{labels} {value}\n" for name, value in values.items()
    )
