"""Tiny models of every architecture and adapters on them with real changes, for the tests of merging."""

import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
)

from common.chat_template import load_template, template_hash
from common.checkpoint import CheckpointCard
from finetune.encoding.encode import encode_row
from finetune.models.adapter import ADAPTER_FILE, AdapterCard, Probe
from finetune.models.checkpoint import weights_hash, write_card, write_tokenizer
from finetune.rows.row import Row
from tests.support.tiny_families import byte_level_tokenizer

QUESTIONS = ("하늘은 무슨 색인가요?", "바다에는 누가 사나요?", "봄은 언제 오나요?")
ANSWERS = ("맑은 날에는 파란색입니다.", "고래와 거북이가 삽니다.", "삼월이면 옵니다.")
SPREAD = 0.3
"""Of fresh weights: wide enough for a random model to prefer one token clearly."""
LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": SPREAD,
}


def config_of(architecture: str, vocabulary: int) -> Any:
    """A tiny configuration of the real class."""
    if architecture == "GPTNeoX":
        return GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=128,
            max_position_embeddings=256,
            initializer_range=SPREAD,
        )
    if architecture == "BLOOM":
        return BloomConfig(
            vocab_size=vocabulary, hidden_size=64, n_layer=2, n_head=2, initializer_range=SPREAD
        )
    if architecture == "GPT-J":
        return GPTJConfig(
            vocab_size=vocabulary,
            n_positions=256,
            n_embd=64,
            n_layer=2,
            n_head=2,
            rotary_dim=8,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=False,
            initializer_range=SPREAD,
        )
    if architecture == "Mixtral":
        return MixtralConfig(vocab_size=vocabulary, num_local_experts=4, sliding_window=None, **LLAMA)
    if architecture == "Mistral":
        return MistralConfig(vocab_size=vocabulary, sliding_window=None, **LLAMA)
    tied = architecture == "Llama, tied"
    return LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=tied, **LLAMA)


def make_base(
    folder: Path, architecture: str, dtype: torch.dtype = torch.float32, shard: str = "60KB", seed: int = 1
) -> Path:
    """A checkpoint of random weights in several files, with a tokenizer."""
    tokenizer = byte_level_tokenizer()
    torch.manual_seed(seed)
    config = config_of(architecture, len(tokenizer))
    model = AutoModelForCausalLM.from_config(config).to(dtype)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder, max_shard_size=shard)
    tokenizer.save_pretrained(folder)
    return folder


def load(directory: Path, **options: Any) -> Any:
    """The checkpoint's model in the types of its files."""
    return AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, **options)


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor by its name in the files."""
    return {name: t for path in directory.glob("*.safetensors") for name, t in load_file(path).items()}


def make_adapter(folder: Path, base: Path, new_tokens: tuple[str, ...] = (), **lora: Any) -> Any:
    """An adapter directory as `kodolly train` writes them, with random changes of some size.

    Returns the model that it was made on, with the adapter, as PEFT has it.
    """
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = load_template("dolly")
    model = load(base)
    rows = None
    if new_tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": list(new_tokens)})
        tokenizer.eos_token = new_tokens[0]
        model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64)
        rows = int(model.get_input_embeddings().weight.shape[0])
    options: dict[str, Any] = {
        "r": 8,
        "lora_alpha": 16,
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    } | lora
    if new_tokens:
        tied = model.config.tie_word_embeddings
        names = {id(module): name for name, module in model.named_modules()}
        ends = [model.get_input_embeddings()] + ([] if tied else [model.get_output_embeddings()])
        ids = tokenizer.convert_tokens_to_ids(list(new_tokens))
        options["trainable_token_indices"] = {names[id(end)]: ids for end in ends}
    with warnings.catch_warnings():  # PEFT takes the rank that it gives fused experts for a mistake
        warnings.filterwarnings("ignore", "The following (rank|alpha)_pattern keys", RuntimeWarning)
        tuned = get_peft_model(model, LoraConfig(**options))
    torch.manual_seed(2)
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
        elif "trainable_tokens_delta" in name:
            torch.nn.init.normal_(parameter, std=SPREAD)
    tuned.save_pretrained(str(folder), save_embedding_layers=False)
    if new_tokens:
        tokenizer.save_pretrained(folder)
    card = AdapterCard(
        base=str(base),
        base_sha256=weights_hash(base),
        card=card_of(base),
        probes=probes_of(tokenizer),
        vocabulary_rows=rows,
        end_token=new_tokens[0] if new_tokens else None,
    )
    (folder / ADAPTER_FILE).write_text(card.model_dump_json(), encoding="utf-8")
    return tuned


def card_of(base: Path) -> CheckpointCard:
    """What training would have written."""
    return CheckpointCard(
        name="tiny-dolly",
        base_model=base.name,
        base_revision=weights_hash(base),
        method="lora",
        licence="Apache-2.0",
        template="dolly",
        template_hash=template_hash(load_template("dolly")),
        context_length=256,
        dtype="bfloat16",
        parameters=1,
        created=int(time.time()),
    )


def probes_of(tokenizer: Any) -> list[Probe]:
    """Conversations as training keeps them."""
    probes = []
    for question, answer in zip(QUESTIONS, ANSWERS, strict=True):
        example = encode_row(tokenizer, Row(instruction=question, response=answer, category="open_qa"))
        assert example.messages is not None
        probes.append(
            Probe(
                messages=example.messages,
                input_ids=example.input_ids,
                prompt_tokens=example.prompt_tokens,
            )
        )
    return probes


def change_card(adapter: Path, **values: Any) -> None:
    """Write other values into the adapter's card."""
    path = adapter / ADAPTER_FILE
    card = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(card | values, ensure_ascii=False), encoding="utf-8")


def make_source(folder: Path, architecture: str, seed: int, template: str = "dolly") -> Path:
    """A complete checkpoint of ours, of random weights, in one file."""
    make_base(folder, architecture, shard="1GB", seed=seed)
    tokenizer = byte_level_tokenizer()
    tokenizer.chat_template = load_template(template)
    write_tokenizer(folder, tokenizer)
    write_card(folder, card_of(folder).model_copy(update={"name": folder.name, "template": template}))
    return folder
