"""The engine's load, from its Prometheus page (names as in vLLM 0.32)."""

import re
import time
from dataclasses import dataclass

from common.registry import WorkerLoad

SAMPLE = re.compile(r"^(vllm:[a-z_]+)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.MULTILINE)


@dataclass(slots=True)
class LoadMeter:
    """Turns successive pages into loads; the rate needs two of them."""

    _tokens: float = 0.0
    _at: float = 0.0

    def read(self, page: str, now: float | None = None) -> WorkerLoad:
        """The load that `page` shows at monotonic time `now` (seconds)."""
        sums: dict[str, float] = {}
        for name, value in SAMPLE.findall(page):
            sums[name] = sums.get(name, 0.0) + float(value)
        at = time.monotonic() if now is None else now
        tokens = sums.get("vllm:generation_tokens_total", 0.0)
        rate = (tokens - self._tokens) / (at - self._at) if self._at and tokens >= self._tokens else 0.0
        self._tokens, self._at = tokens, at
        return WorkerLoad(
            running=int(sums.get("vllm:num_requests_running", 0)),
            waiting=int(sums.get("vllm:num_requests_waiting", 0)),
            kv_cache_use=min(1.0, sums.get("vllm:kv_cache_usage_perc", 0.0)),
            tokens_per_s=round(rate, 1),
        )
