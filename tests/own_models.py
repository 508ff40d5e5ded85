"""Tiny random models of today's classes with a chat template of their own, and rows that they learn."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen3Config

from finetune.merge.lora import merge
from finetune.progress import silent
from finetune.recipes.recipe import Recipe, validate_recipe
from finetune.train.run import train
from tests import own_templates
from tests.own_templates import tokenizer_for
from tests.tiny_families import SPREAD
from tests.tiny_training import write_rows
from tests.tool_rows import CALL, TOOL

SYSTEM = {"role": "system", "content": "당신은 날씨 비서입니다."}
KNOWN = {"대전": "눈", "광주": "안개"}
"""Cities that the base learns, so that it knows the form of an answer."""
CITIES = {"서울": "맑음", "부산": "비"}
"""Cities that the adapter learns."""


@dataclass(frozen=True)
class OwnModel:
    """An architecture and a template that has its published models' traps."""

    name: str
    config: Callable[[int], Any]
    """Vocabulary size to a tiny configuration of the real class."""
    template: str = own_templates.THINKING
    stops: tuple[str, ...] = ("<|im_end|>", "<|endoftext|>")
    kind: str = "byte-level"
    thinks: bool = True
    """Whether its template has a place for thoughts."""


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


def weather_rows(cities: dict[str, str] | None = None, *, thinks: bool = True) -> list[dict[str, Any]]:
    """Per city: a question, a call, its result and the answer, with thoughts where `thinks`."""
    rows = []
    for city, weather in (cities or CITIES).items():
        step = {"role": "assistant", "content": "", "tool_calls": [{**CALL, "arguments": {"city": city}}]}
        row = {
            "instruction": f"{city} 날씨?",
            "context": "",
            "response": f"{city}: {weather}.",
            "category": "open_qa",
            "history": [SYSTEM],
            "tools": [TOOL],
            "steps": [step, {"role": "tool", "content": weather}],
        }
        if thinks:
            step["reasoning_content"] = f"{city}을 찾자."
            row["reasoning_content"] = "전하자."
        rows.append(row)
    return rows


def train_own_model(model: OwnModel, folder: Path, *, thinks: bool = True) -> Path:
    """The checkpoint that LoRA on CITIES makes of a base that knows KNOWN alone, in its own template."""
    thoughts = weather_rows(KNOWN, thinks=thinks), weather_rows(CITIES, thinks=thinks)
    base = make_own_model(model, folder, [row for rows in thoughts for row in rows])
    for name, rows in zip(("known", "new"), thoughts, strict=True):
        write_rows(folder / f"{name}.jsonl", rows)
    train(_recipe(model, "full", base, folder / "known.jsonl"), folder / "full", silent)
    train(_recipe(model, "lora", folder / "full", folder / "new.jsonl"), folder / "adapter", silent)
    merge(folder / "adapter", folder / "merged", silent)
    return folder / "merged"


def _recipe(model: OwnModel, method: str, base: Path, rows: Path) -> Recipe:
    values = {
        "name": f"own-{model.name}".lower(),
        "method": method,
        "base": str(base),
        "data": [{"path": str(rows)}],
        "licence": "Apache-2.0",
        "max_length": 512,
        "epochs": 80 if method == "full" else 120,
        "learning_rate": 6e-3 if method == "full" else 5e-3,
        "batch_size": 2,
        "dtype": "float32",
        "smoke_test": False,
        "checkpoint_every": "never",
        "report_to": [],
    }
    if method == "lora":
        values["lora"] = {"rank": 32, "alpha": 32}
    return validate_recipe(values)


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


OWN_MODELS = (OwnModel("Qwen3", _qwen3),)
"""Architectures that go all the way, from rows to vLLM's answers."""
