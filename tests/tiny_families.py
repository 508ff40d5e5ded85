"""Tiny models of each architecture, with the two kinds of tokenizers that they have."""

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from finetune.tokenizer import train_tokenizer

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
