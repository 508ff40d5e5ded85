"""What llama.cpp answers from a GGUF file: `python -m finetune.export.llama_answers FILE ASKED ANSWERS`.

A process of its own, because the server's destructor was seen to wait for ever. ASKED is JSON: for each
prompt its token ids. ANSWERS gets JSON: for each the likeliest tokens behind it.
"""

import json
import os
import sys
from pathlib import Path

import httpx2

TOKENS = 16
"""Tokens of an answer, ends of answers among them."""


def main(file: str, asked: Path, answers: Path) -> None:
    """Answer and end the process."""
    import xllamacpp

    prompts: list[list[int]] = json.loads(asked.read_text(encoding="utf-8"))
    settings = xllamacpp.CommonParams()
    settings.model.path = file
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = max(map(len, prompts)) + TOKENS + 8, 1, 0
    settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    settings.warmup, settings.verbosity = False, -1
    server = xllamacpp.Server(settings)
    found = [_greedy(server.listening_address, prompt) for prompt in prompts]
    answers.write_text(json.dumps(found), encoding="utf-8")
    os._exit(0)


def _greedy(url: str, prompt: list[int]) -> list[int]:
    body = {
        "prompt": prompt,
        "n_predict": TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "return_tokens": True,
    }
    answered = httpx2.post(f"{url}/completion", json=body, timeout=300, trust_env=False).raise_for_status()
    return [int(token) for token in answered.json()["tokens"]]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
