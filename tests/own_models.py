"""Tiny random models of today's classes with a chat template of their own, and rows that they learn."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from tests import own_templates
from tests.own_templates import tokenizer_for
from tests.tiny_families import SPREAD
from tests.tiny_training import write_rows
from tests.tool_rows import CALL, TOOL

SYSTEM = {"role": "system", "content": "당신은 날씨 비서입니다."}
CITIES = {"서울": "맑음", "부산": "비"}


@dataclass(frozen=True)
class OwnModel:
    """An architecture and a template that has its published models' traps."""

    name: str
    config: Callable[[int], Any]
    """Vocabulary size to a tiny configuration of the real class."""
    template: str = own_templates.THINKING
    stops: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>")
    kind: str = "byte-level"


def _qwen3(vocabulary: int) -> Any:
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        initializer_range=SPREAD,
    )


QWEN3 = OwnModel("Qwen3", _qwen3)


def weather_rows() -> list[dict[str, Any]]:
    """Per city: a question, a thought, a call, its result, a thought and the answer."""
    rows = []
    for city, weather in CITIES.items():
        step = {
            "role": "assistant",
            "content": "",
            "reasoning_content": f"{city}을 찾자.",
            "tool_calls": [{**CALL, "arguments": {"city": city}}],
        }
        rows.append(
            {
                "instruction": f"{city} 날씨?",
                "context": "",
                "response": f"{city}: {weather}.",
                "category": "open_qa",
                "history": [SYSTEM],
                "tools": [TOOL],
                "steps": [step, {"role": "tool", "content": weather}],
                "reasoning_content": "전하자.",
            }
        )
    return rows


def make_own_model(model: OwnModel, folder: Path, rows: list[dict[str, Any]]) -> Path:
    """`folder` with rows.jsonl and `base`: a random model with tokenizer, template and generation_config."""
    write_rows(folder / "rows.jsonl", rows)
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    tokenizer = tokenizer_for(model.template, model.stops, model.kind, [*texts, *own_templates.TEXTS])
    torch.manual_seed(1)
    config = model.config(len(tokenizer))
    stops = tokenizer.convert_tokens_to_ids(list(model.stops))
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, stops[0]
    base = folder / "base"
    AutoModelForCausalLM.from_config(config).save_pretrained(base)  # type: ignore[no-untyped-call]
    # As some are published: how to sample, and not that; transformers itself would not write it.
    generation = json.dumps({"eos_token_id": stops, "temperature": 0.6})
    (base / "generation_config.json").write_text(generation, encoding="utf-8")
    tokenizer.save_pretrained(base)
    return base
