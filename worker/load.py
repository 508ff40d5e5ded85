"""The engine's load, from its Prometheus page."""

import re
import time
from dataclasses import dataclass

from common.registry import WorkerLoad

SAMPLE = re.compile(
    r"^([a-z]+:[a-z_]+)(?:\{[^}\n]*\})? ([0-9]{1,15}(?:\.[0-9]+)?(?:e\+?[0-9]{1,2})?)(?: [0-9]+)?$",
    re.MULTILINE | re.ASCII,
)
"""A sample of the Prometheus text format that is a plain number; NaN and the like say nothing."""
MOST_REQUESTS = 10**9


@dataclass(frozen=True, slots=True)
class LoadMetrics:
    """What an engine calls its figures."""

    running: str
    waiting: str
    kv_cache_use: str
    """0 to 1."""
    tokens: str
    """A counter of generated tokens."""


ENGINES = (
    # vLLM 0.32
    LoadMetrics(
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:generation_tokens_total",
    ),
    # A moderation model's own service (moderation/service.py); it writes no tokens.
    LoadMetrics(
        "moderation:requests_running",
        "moderation:requests_waiting",
        "moderation:kv_cache_usage_ratio",
        "moderation:tokens_total",
    ),
    # SGLang with --enable-metrics, https://docs.sglang.io/docs/references/production_metrics
    LoadMetrics(
        "sglang:num_running_reqs",
        "sglang:num_queue_reqs",
        "sglang:token_usage",
        "sglang:generation_tokens_total",
    ),
    # llama.cpp's server with --metrics, see tools/server/README.md of ggml-org/llama.cpp
    LoadMetrics(
        "llamacpp:requests_processing",
        "llamacpp:requests_deferred",
        "llamacpp:kv_cache_usage_ratio",
        "llamacpp:tokens_predicted_total",
    ),
)


@dataclass(slots=True)
class LoadMeter:
    """Turns successive pages into loads; the rate needs two of them."""

    _tokens: float = 0.0
    _at: float = 0.0

    def read(self, page: str, now: float | None = None) -> WorkerLoad:
        """The load that `page` shows at monotonic time `now` (seconds); not `known` when it shows none."""
        sums: dict[str, float] = {}
        for name, value in SAMPLE.findall(page):
            sums[name] = sums.get(name, 0.0) + float(value)
        names = next((names for names in ENGINES if names.running in sums), None)
        if names is None:
            return WorkerLoad()
        at = time.monotonic() if now is None else now
        tokens = sums.get(names.tokens, 0.0)
        rate = (tokens - self._tokens) / (at - self._at) if self._at and tokens >= self._tokens else 0.0
        self._tokens, self._at = tokens, at
        return WorkerLoad(
            known=True,
            running=int(min(sums[names.running], MOST_REQUESTS)),
            waiting=int(min(sums.get(names.waiting, 0), MOST_REQUESTS)),
            kv_cache_use=min(1.0, sums.get(names.kv_cache_use, 0.0)),
            tokens_per_s=round(rate, 1),
        )
