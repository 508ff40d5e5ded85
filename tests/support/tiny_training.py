"""A base that is trained in two seconds, and rows and pairs for it, shared by the tests of training."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from finetune.progress import silent
from finetune.recipes.load import load_recipe
from finetune.train.run import train

QUESTIONS = (
    "하늘은 무슨 색인가요?",
    "바다에는 누가 사나요?",
    "나무는 어떻게 자라나요?",
    "구름이 뭐예요?",
    "오늘 점심을 추천해 주세요.",
    "빠른 길을 알려 줄래요?",
    "이 책의 제목을 지어 봐요.",
    "겨울에는 무엇을 하나요?",
)
BASE = """
name: tiny-base
method: pretrain
architecture: {layers: 2, width: 64, heads: 2, vocabulary: 400, context: 256}
text: [text.txt]
data: [{path: rows.jsonl, split: base}]
licence: Apache-2.0
epochs: 60
learning_rate: 6.0e-3
batch_size: 4
checkpoint_every: never
report_to: []
"""
LORA = """
name: tiny-tuned
method: lora
base: tiny-base
data: [{path: rows.jsonl, split: tune}]
max_length: 256
epochs: 40
learning_rate: 1.0e-2
batch_size: 4
lora: {rank: 32, alpha: 32}
checkpoint_every: never
report_to: []
"""


def row(number: int, split: str) -> dict[str, Any]:
    """A row whose answer is one syllable three times: soon learnt."""
    return {
        "instruction": QUESTIONS[number],
        "context": "",
        "response": "가나다라마바사아"[number] * 3,
        "category": "open_qa",
        "meta": {"split": split, "id": f"{split}-{number}"},
    }


def pair(number: int) -> dict[str, Any]:
    """A pair whose better answer is a word, the worse one the row's syllables."""
    return {
        "instruction": QUESTIONS[number],
        "context": "",
        "chosen": "고마워요.",
        "rejected": "가나다라마바사아"[number] * 3,
        "meta": {"id": f"pair-{number}"},
    }


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSONL, Hangul as it is."""
    path.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n", encoding="utf-8")


def make_base(folder: Path) -> Path:
    """`folder` with rows, pairs, recipes and the trained `tiny-base`; returns the base."""
    write_rows(
        folder / "rows.jsonl",
        [row(n, "base") for n in range(4)] + [row(n, "tune") for n in range(4, 8)],
    )
    write_rows(folder / "pairs.jsonl", [pair(n) for n in range(8)])
    # Every token of the later answers is learnt once: an adapter cannot raise output rows that never were.
    text = "\n\n".join([*QUESTIONS, "가마나바다사라아", "아라사다바나마가", "마가바나사다아라", "고마워요."])
    (folder / "text.txt").write_text(text, encoding="utf-8")
    (folder / "base.yaml").write_text(BASE, encoding="utf-8")
    (folder / "tune.yaml").write_text(LORA, encoding="utf-8")
    train(load_recipe(folder / "base.yaml"), folder / "tiny-base", silent)
    return folder / "tiny-base"


def answer(model: Any, tokenizer: Any, question: str) -> tuple[str, bool]:
    """(greedy answer, whether the model ended it itself)."""
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.no_grad():
        out = model.generate(
            **asked, max_new_tokens=24, do_sample=False, eos_token_id=tokenizer.eos_token_id
        )[0]
    new = out[asked["input_ids"].shape[1] :]
    return tokenizer.decode(new, skip_special_tokens=True), bool(new[-1] == tokenizer.eos_token_id)


def tokenizer_of(directory: Path) -> Any:
    """The checkpoint's own."""
    return AutoTokenizer.from_pretrained(directory)
