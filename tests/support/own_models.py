"""Tiny random models of today's classes with a chat template of their own, and rows that they learn."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from finetune.merge.lora import merge
from finetune.progress import silent
from finetune.recipes.recipe import Recipe, validate_recipe
from finetune.train.run import train
from tests.support import own_templates
from tests.support.own_templates import tokenizer_for
from tests.support.tiny_families import SPREAD
from tests.support.tiny_training import write_rows
from tests.support.tool_rows import CALL, TOOL

SYSTEM = {"role": "system", "content": "당신은 날씨 비서입니다."}
CITIES = {"서울": "맑음", "부산": "비"}
SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "max_position_embeddings": 512,
    "initializer_range": SPREAD,
}
LAYERS = ["sliding_attention", "full_attention"]
GEMMA4 = {
    "num_hidden_layers": 3,  # with two it learns the form of a call, and not which city belongs into it
    "layer_types": [*LAYERS, "full_attention"],
    "global_head_dim": 64,
    "num_global_key_value_heads": 1,
    "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


@dataclass(frozen=True)
class OwnTemplate:
    """A template with the traps of published ones, and how its tokenizer ends and divides texts."""

    name: str
    text: str
    stops: tuple[str, ...]
    thinks: bool = False
    """Whether it has a place for thoughts."""
    tools: bool = True
    kind: str = "byte-level"


CHATML = OwnTemplate(
    "ChatML, thoughts, JSON calls", own_templates.THINKING, ("<|im_end|>", "<|endoftext|>"), thinks=True
)
XML = OwnTemplate("ChatML, thoughts, XML calls", own_templates.XML_CALLS, ("<|im_end|>",), thinks=True)
ROLES = OwnTemplate("roles as tokens, JSON calls", own_templates.ROLE_MARKS, ("<|im_end|>",))
HEADERS = OwnTemplate("headers, JSON calls", own_templates.HEADERS, ("<|eot_id|>",))
BRACKETS = OwnTemplate("brackets, JSON calls", own_templates.BRACKETS, ("[|endofturn|]",))
TURNS = OwnTemplate("turns, no tools", own_templates.TURNS, ("<end_of_turn>",), tools=False, kind="llama")
INST = OwnTemplate("[INST], calls in a list", own_templates.BRACKETED_CALLS, ("</s>",))
KEYS = OwnTemplate(
    "ends by the next role, thoughts, keys and values",
    own_templates.KEYS,
    ("<|endoftext|>", "<|user|>", "<|observation|>"),
    thinks=True,
)
CHANNELS = OwnTemplate(
    "turns, thoughts in channels, keys and values", own_templates.CHANNELS, ("<turn|>",), thinks=True
)
MESSAGES = OwnTemplate(
    "messages, another end in the past", own_templates.OTHER_END_IN_HISTORY, ("<|return|>",), tools=False
)
FUNCTIONS = OwnTemplate(
    "ChatML, thoughts, calls as functions", own_templates.FUNCTIONS, ("<|im_end|>",), thinks=True
)


@dataclass(frozen=True)
class OwnModel:
    """An architecture, the published models that have it, and a template with their traps."""

    name: str
    published: str
    template: OwnTemplate
    config: Callable[[int], Any]
    """Vocabulary size to a tiny configuration of the real class."""
    chats: bool = True
    """Whether vLLM makes prompts of its chats by the checkpoint's template, so that it can be asked there."""


def _config(name: str, **more: Any) -> Callable[[int], Any]:
    return lambda size: getattr(transformers, name)(vocab_size=size, **SHAPE | more)


QWEN3 = OwnModel("Qwen3", "Qwen3, Kanana 2 3B", CHATML, _config("Qwen3Config"))
OWN_MODELS = (
    QWEN3,
    OwnModel("Qwen3-MoE", "Qwen3-30B-A3B, Qwen3-Coder 30B-A3B", XML, _config("Qwen3MoeConfig", **EXPERTS)),
    OwnModel("Qwen2", "A.X 4.0, Qwen2.5", ROLES, _config("Qwen2Config")),
    OwnModel("Llama", "Llama 3, Mi:dm 2.0, Kanana 1.5", HEADERS, _config("LlamaConfig")),
    OwnModel("HyperCLOVA X", "HyperCLOVA X SEED Think 14B", CHATML, _config("HyperCLOVAXConfig")),
    OwnModel(
        "EXAONE 4",
        "EXAONE 4.0",
        BRACKETS,
        _config("Exaone4Config", layer_types=LAYERS),
    ),
    OwnModel("Gemma 2", "Gemma 2", TURNS, _config("Gemma2Config")),
    OwnModel("Gemma 3", "Gemma 3", TURNS, _config("Gemma3TextConfig")),
    OwnModel("Gemma 4", "Gemma 4", CHANNELS, _config("Gemma4TextConfig", **GEMMA4)),
    OwnModel(
        "gpt-oss",
        "gpt-oss",
        MESSAGES,
        _config("GptOssConfig", num_local_experts=4, num_experts_per_tok=2, layer_types=LAYERS),
        chats=False,
    ),
    OwnModel("Mistral", "Mistral Small, Mistral 7B", INST, _config("MistralConfig")),
    OwnModel("Ministral 3", "Ministral 3", INST, _config("Ministral3Config")),
    OwnModel("Phi 3", "Phi-3, Phi-4", ROLES, _config("Phi3Config", pad_token_id=0)),
    OwnModel("GLM 4", "GLM 4", KEYS, _config("Glm4Config", pad_token_id=0)),
    OwnModel("Granite", "Granite 3, Granite 4", ROLES, _config("GraniteConfig", attention_multiplier=1 / 8)),
    OwnModel("SmolLM3", "SmolLM3", CHATML, _config("SmolLM3Config", pad_token_id=0)),
    OwnModel("OLMo 3", "OLMo 3", FUNCTIONS, _config("Olmo3Config")),
)
"""Architectures that go all the way, from rows to vLLM's answers."""


def weather_rows(template: OwnTemplate = CHATML) -> list[dict[str, Any]]:
    """Per city: a question, a call, its result and the answer, with thoughts where the template has a place.

    Without tools: a question and its answer.
    """
    rows = []
    for city, weather in CITIES.items():
        row = {
            "instruction": f"{city} 날씨?",
            "context": "",
            "response": f"{city}: {weather}.",
            "category": "open_qa",
            "history": [SYSTEM],
        }
        step = {"role": "assistant", "content": "", "tool_calls": [{**CALL, "arguments": {"city": city}}]}
        if template.thinks:
            step["reasoning_content"] = f"{city}을 찾자."
            row["reasoning_content"] = "전하자."
        if template.tools:
            row |= {"tools": [TOOL], "steps": [step, {"role": "tool", "content": weather}]}
        rows.append(row)
    return rows


def train_own_model(model: OwnModel, folder: Path, architecture: str | None = None) -> Path:
    """The checkpoint that LoRA on `weather_rows` makes of a random base, in its own template.

    architecture: name of the class, where it is not the configuration's for text.
    """
    base = make_own_model(model, folder, weather_rows(model.template), architecture)
    train(recipe_of(model, base, folder / "rows.jsonl"), folder / "adapter", silent)
    merge(folder / "adapter", folder / "merged", silent)
    return folder / "merged"


def recipe_of(model: OwnModel, base: Path, rows: Path, epochs: int = 80) -> Recipe:
    """LoRA on all linear layers, in the base's own template."""
    return validate_recipe(
        {
            "name": f"own-{model.name}".lower().replace(" ", "-"),
            "method": "lora",
            "base": str(base),
            "data": [{"path": str(rows)}],
            "licence": "Apache-2.0",
            "max_length": 512,
            "epochs": epochs,
            "learning_rate": 5e-3,
            "batch_size": 4,
            "dtype": "float32",
            "lora": {"rank": 32, "alpha": 32},
            "smoke_test": False,
            "checkpoint_every": "never",
            "report_to": [],
        }
    )


def make_own_model(
    model: OwnModel, folder: Path, rows: list[dict[str, Any]], architecture: str | None = None
) -> Path:
    """`folder` with rows.jsonl and `base`: a random model with tokenizer, template and generation_config.

    architecture: name of the class, where it is not the configuration's for text.
    """
    write_rows(folder / "rows.jsonl", rows)
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    own = model.template
    tokenizer = tokenizer_for(own.text, own.stops, own.kind, [*texts, *own_templates.TEXTS])
    torch.manual_seed(1)
    config = model.config(len(tokenizer))
    stops = tokenizer.convert_tokens_to_ids(list(own.stops))
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, stops[0]
    base = folder / "base"
    if architecture is None:
        made = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    else:
        made = getattr(transformers, architecture)(config)
    with (
        torch.no_grad()
    ):  # far apart, as they are after pre-training: an adapter leaves these rows as they are
        made.get_output_embeddings().weight *= 4
    made.save_pretrained(base)
    # As some are published: how to sample, and not that; transformers itself would not write it.
    generation = json.dumps({"eos_token_id": stops, "temperature": 0.6})
    (base / "generation_config.json").write_text(generation, encoding="utf-8")
    tokenizer.save_pretrained(base)
    return base
