"""Tiny models of each architecture, with the two kinds of tokenizers that they have."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    PreTrainedTokenizerFast,
)

from common.chat_template import load_template
from finetune.data.load import load_rows
from finetune.merge.lora import merge
from finetune.models.tokenizer import train_tokenizer
from finetune.progress import silent
from finetune.recipes.recipe import Recipe, validate_recipe
from finetune.rows.row import to_messages
from finetune.train.run import train
from tests.support.tiny_training import pair, row, write_rows

TEXTS = (
    "### Instruction:\n안녕하세요? 오늘 날씨를 알려 주세요.\n\n### Response:\n반갑습니다. 맑고 따뜻합니다.",
    "### 질문: 봄에는 무엇을 하나요?\n\n### 답변: 꽃을 봅니다.",
    "[INST] 바다는 왜 짠가요? [/INST] 소금이 녹아 있습니다.",
    "USER: Write a response. ASSISTANT: Below is an instruction that describes a task.",
)


def byte_level_tokenizer(texts: Iterable[str] = TEXTS, vocabulary: int = 600) -> PreTrainedTokenizerFast:
    """As GPT-NeoX and GPT-J have: byte-level BPE, one token begins and ends texts, none is added."""
    return train_tokenizer(list(texts) * 3, vocabulary, 512)


def llama_tokenizer(texts: Iterable[str] = TEXTS, vocabulary: int = 600) -> PreTrainedTokenizerFast:
    """As Llama and Mistral have: BPE over text with ▁ for spaces, byte fallback, and <s> before a text."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    bpe.train_from_iterator([word for text in texts for word in text.split(" ")] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_of(kind: str, texts: Iterable[str] = TEXTS) -> Any:
    """`byte-level` or `llama`."""
    return {"byte-level": byte_level_tokenizer, "llama": llama_tokenizer}[kind](texts)


@dataclass(frozen=True)
class Family:
    """An architecture, the published models that have it, and the prompt format proven with it."""

    name: str
    template: str
    tokenizer: str
    published: str
    config: Callable[[int], Any]
    """Vocabulary size to a tiny configuration of the real class."""
    methods: tuple[str, ...] = ("full", "lora", "qlora", "dpo", "dpo nf4")
    four_bit_targets: tuple[str, ...] = ()
    """Layers for adapters over 4-bit weights, where all linear layers will not do."""
    reloads: bool = True
    """Whether one server takes the weights of all checkpoints in turn; else each gets a server. vLLM's CPU
    build answers wrongly with exchanged fused experts (Mixtral) and exchanged tied embeddings (BLOOM)."""

    @property
    def key(self) -> str:
        """Short, for command lines and test ids."""
        return f"{self.name}-{self.template}"


def _llama_like(cls: Any, vocabulary: int, **more: Any) -> Any:
    return cls(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=512,
        initializer_range=SPREAD,
        **more,
    )


def _llama(vocabulary: int) -> Any:
    return _llama_like(LlamaConfig, vocabulary)


def _neox(vocabulary: int) -> Any:
    return GPTNeoXConfig(
        vocab_size=vocabulary + 13,  # Polyglot's table has rows without a token, too
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=512,
        initializer_range=SPREAD,
    )


SPREAD = 0.06
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FAMILIES = (
    Family("GPT-NeoX", "koalpaca-polyglot", "byte-level", "KoAlpaca-Polyglot, Polyglot-Ko", _neox),
    Family(
        "GPT-NeoX", "dolly", "byte-level", "Polyglot-Ko, Pythia, Dolly v2", _neox, methods=("full", "lora")
    ),
    Family("GPT-NeoX", "kullm", "byte-level", "KULLM v2", _neox, methods=("lora",)),
    Family("Llama", "koalpaca", "llama", "LLaMA, KoAlpaca v1.0", _llama, methods=("lora",)),
    Family("Llama", "alpaca", "llama", "OpenLLaMA, Alpaca", _llama, methods=("full", "lora")),
    Family("Llama", "llama2", "llama", "Llama 2", _llama),
    Family("Llama", "solar", "llama", "SOLAR 10.7B", _llama, methods=("qlora", "dpo nf4")),
    Family(
        "Mistral",
        "mistral",
        "llama",
        "Mistral 7B v0.1",
        lambda size: _llama_like(MistralConfig, size, sliding_window=4096),
    ),
    Family(
        "Mixtral",
        "mistral",
        "llama",
        "Mixtral 8x7B v0.1",
        lambda size: _llama_like(MixtralConfig, size, num_local_experts=4, sliding_window=None),
        four_bit_targets=ATTENTION,
        reloads=False,
    ),
    Family(
        "BLOOM",
        "alpaca",
        "byte-level",
        "BLOOM",
        lambda size: BloomConfig(
            vocab_size=size, hidden_size=64, n_layer=2, n_head=2, initializer_range=SPREAD
        ),
        reloads=False,
    ),
    Family(
        "GPT-J",
        "alpaca",
        "byte-level",
        "GPT-J 6B, GPT4All-J",
        lambda size: GPTJConfig(
            vocab_size=size,
            n_positions=512,
            n_embd=64,
            n_layer=2,
            n_head=2,
            rotary_dim=16,
            initializer_range=SPREAD,
            tie_word_embeddings=False,
            bos_token_id=0,
            eos_token_id=0,
        ),
        reloads=False,
    ),
)
OLD, NEW = range(4), range(4, 8)
"""Rows that the base learns, rows that a method teaches."""
EPOCHS = {"lora": 160, "qlora": 160}
RATES = {"full": 3e-3, "lora": 5e-3, "qlora": 5e-3, "dpo": 3e-3, "dpo nf4": 3e-3}


def make_family(family: Family, folder: Path) -> Path:
    """`folder` with rows, pairs and the base of `family`; returns the base.

    The base knows the OLD questions: two times in three it gives the worse answer of their pairs, else the
    better one, so that preference training has something to prefer.
    """
    better = [{**row(n, "old"), "response": pair(n)["chosen"]} for n in OLD]
    worse = [{**row(n, "old"), "response": pair(n)["rejected"]} for n in OLD]
    write_rows(folder / "rows.jsonl", [*better, *worse, *worse, *(row(n, "new") for n in NEW)])
    write_rows(folder / "pairs.jsonl", [pair(n) for n in OLD])
    template = load_template(family.template)
    writer = tokenizer_of(family.tokenizer, [])
    writer.chat_template = template
    texts = [
        str(writer.apply_chat_template(to_messages(each), tokenize=False))
        for each in load_rows(folder / "rows.jsonl")
    ]
    tokenizer = tokenizer_of(family.tokenizer, texts)
    tokenizer.chat_template = template
    torch.manual_seed(1)
    config = family.config(len(tokenizer))
    config.bos_token_id, config.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder / "random")
    tokenizer.save_pretrained(folder / "random")
    train(_recipe(family, "full", folder / "random", folder, "old"), folder / "base", silent)
    return folder / "base"


def tune(family: Family, method: str, folder: Path) -> Path:
    """Train the base of `make_family` further by `method`, merge, and return the checkpoint."""
    name = method.replace(" ", "-")
    recipe = _recipe(family, method, folder / "base", folder, "new")
    if not recipe.has_adapter:
        train(recipe, folder / name, silent)
        return folder / name
    train(recipe, folder / f"{name}-adapter", silent)
    merge(folder / f"{name}-adapter", folder / name, silent)
    return folder / name


def _recipe(family: Family, method: str, base: Path, folder: Path, split: str) -> Recipe:
    kind, _, quantize = method.partition(" ")
    first = split == "old"
    data = [{"path": str(folder / "rows.jsonl"), "split": split}]
    values: dict[str, Any] = {
        "name": f"tiny-{family.name}-{method}".lower().replace(" ", "-"),
        "method": kind,
        "base": str(base),
        "data": [{"path": str(folder / "pairs.jsonl")}] if kind == "dpo" else data,
        "template": family.template,
        "licence": "Apache-2.0",
        "max_length": 256,
        "epochs": 60 if first else EPOCHS.get(method, 40),
        "learning_rate": 6e-3 if first else RATES[method],
        "batch_size": 6 if first else 4,
        "dtype": "float32",
        "smoke_test": False,
        "checkpoint_every": "never",
        "report_to": [],
    }
    if kind != "full":
        four_bit = kind == "qlora" or quantize
        targets = family.four_bit_targets if four_bit and family.four_bit_targets else "all-linear"
        values["lora"] = {"rank": 32, "alpha": 32, "targets": targets}
    if quantize:
        values["quantize"] = quantize
    return validate_recipe(values)


def expected(method: str) -> dict[str, str]:
    """Question to the answer that a model must give after `method`; `base` for before."""
    if method == "base":
        return {pair(n)["instruction"]: pair(n)["rejected"] for n in OLD}
    if method.startswith("dpo"):
        return {pair(n)["instruction"]: pair(n)["chosen"] for n in OLD}
    return {row(n, "new")["instruction"]: row(n, "new")["response"] for n in NEW}
