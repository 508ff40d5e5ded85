"""How much a worker's engine has to do, read from its log and its page of metrics."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.load import LoadMeter
from worker.progress import stage_of

# Lines as vLLM 0.32's server prints them on a CPU.
STARTING = """\
(APIServer pid=1) INFO 11-20 23:22:31 [model.py:733] Resolved architecture: GPTNeoXForCausalLM
(EngineCore pid=2) INFO 11-20 23:22:36 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x
(EngineCore pid=2) INFO 11-20 23:22:37 [cpu_model_runner.py:68] Starting to load model /models/demo...
(EngineCore pid=2) INFO 11-20 23:22:37 [default_loader.py:501] Loading weights took 0.02 seconds
(EngineCore pid=2) INFO 11-20 23:22:38 [kv_cache_utils.py:2327] CPU KV cache size: 262,144 tokens, Maximum
(APIServer pid=1) INFO 11-20 23:22:40 [entry.py:140] Starting vLLM server on http://127.0.0.1:18700
INFO:     Application startup complete.
"""


def test_progress_grows_with_each_stage_of_the_log() -> None:
    stages = [stage for line in STARTING.splitlines() if (stage := stage_of(line)) is not None]
    assert len(stages) == 7
    shares = [share for share, _ in stages]
    assert shares == sorted(set(shares))
    assert stage_of("(APIServer pid=1) INFO Route: /health, Methods: GET") is None


def test_the_load_is_read_from_the_metrics_page() -> None:
    page = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="demo-dolly"} 2.0
vllm:num_requests_waiting{engine="0",model_name="demo-dolly"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="demo-dolly",reason="capacity"} 3.0
vllm:kv_cache_usage_perc{engine="0",model_name="demo-dolly"} 0.5
vllm:generation_tokens_total{engine="0",model_name="demo-dolly"} 1.5e+03
vllm:generation_tokens_created{engine="0",model_name="demo-dolly"} 1.79e+09
"""
    meter = LoadMeter()
    first = meter.read(page, 10.0)
    assert (first.running, first.waiting, first.kv_cache_use, first.tokens_per_s) == (2, 3, 0.5, 0.0)
    assert meter.read(page.replace("1.5e+03", "1700.0"), 12.0).tokens_per_s == 100.0
    assert meter.read(page.replace("1.5e+03", "5.0"), 14.0).tokens_per_s == 0.0  # a new engine counts from 0


@pytest.mark.parametrize(
    "page",
    [
        """sglang:num_running_reqs{model_name="돌리"} 2.0
sglang:num_queue_reqs{model_name="돌리"} 3.0
sglang:token_usage{model_name="돌리"} 0.5
sglang:generation_tokens_total{model_name="돌리"} 100.0
""",
        """llamacpp:requests_processing 2
llamacpp:requests_deferred 3
llamacpp:kv_cache_usage_ratio 0.5
llamacpp:tokens_predicted_total 100
""",
    ],
    ids=["SGLang", "llama.cpp"],
)
def test_the_load_of_other_engines_is_read_too(page: str) -> None:
    load = LoadMeter().read(page)
    assert (load.known, load.running, load.waiting, load.kv_cache_use) == (True, 2, 3, 0.5)


def test_a_page_that_says_nothing_is_an_unknown_load() -> None:
    assert not LoadMeter().read("<html>404</html>").known


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["vllm:num_requests_running", "vllm:kv_cache_usage_perc", "sglang:token_usage"]),
            st.sampled_from(["", '{a="}"}', '{model_name="돌리"}']),
            st.one_of(st.text(), st.floats().map(str), st.from_regex(r"[0-9.eE+-]+", fullmatch=True)),
        )
    )
)
def test_no_page_can_break_the_worker(samples: list[tuple[str, str, str]]) -> None:
    load = LoadMeter().read("\n".join(f"{name}{labels} {value}" for name, labels, value in samples), 1.0)
    assert 0 <= load.running <= 10**9
    assert 0 <= load.kv_cache_use <= 1
