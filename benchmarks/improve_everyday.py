"""Everyday questions for benchmarks/improve.py, and a checkpoint that can answer such.

demo-dolly answers what it was not taught with pieces of what it was. Whether a style carries over from one
answer to another can only be seen where there are answers. So a part of these questions is taught to it
first, with answers that end in -니다; the others it can answer by these. Raters write the same in -요. The
taught ones are not among the earlier rows of a turn, which would teach it -니다 for such questions again.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

PLACES = (
    *("바다", "공원", "시장", "학교", "도서관", "박물관", "극장", "식당", "카페", "병원"),
    *("은행", "공항", "놀이터", "수영장", "동물원", "식물원", "마을", "호수", "미술관", "서점"),
)
ASKED = (
    (
        "{}에서 무엇을 하면 좋을까요?",
        "{}에서는 천천히 걷는 것이 좋습니다.",
        "{}에서는 천천히 걷는 것이 좋아요.",
    ),
    ("{}에 갈 때 무엇을 챙길까요?", "{}에 갈 때는 물을 챙깁니다.", "{}에 갈 때는 물을 챙겨요."),
    ("{}에는 누구와 갈까요?", "{}에는 친구와 같이 갑니다.", "{}에는 친구와 같이 가요."),
    ("{}에서 조심할 것은?", "{}에서는 뛰지 않아야 합니다.", "{}에서는 뛰지 않아야 해요."),
    ("{}에는 언제 사람이 많은가요?", "{}에는 주말에 사람이 많습니다.", "{}에는 주말에 사람이 많아요."),
    ("{}까지 무엇을 타나요?", "{}까지는 버스를 탑니다.", "{}까지는 버스를 타요."),
    ("{} 앞에서 만날까요?", "네, {} 앞에서 기다리겠습니다.", "네, {} 앞에서 기다릴게요."),
    ("{}에서 길을 잃으면 어떻게 하나요?", "{}에서는 일하는 분께 묻습니다.", "{}에서는 일하는 분께 물어요."),
    ("{}의 좋은 점을 알려 주세요.", "{}의 좋은 점은 조용함입니다.", "{}의 좋은 점은 조용함이에요."),
    ("{} 사진을 찍어도 되나요?", "네, {} 사진은 찍어도 됩니다.", "네, {} 사진은 찍어도 돼요."),
    ("{}에는 몇 시에 가나요?", "{}에는 아침 열 시에 갑니다.", "{}에는 아침 열 시에 가요."),
    (
        "{} 이야기를 들려주세요.",
        "{} 이야기는 할머니께서 들려주셨습니다.",
        "{} 이야기는 할머니께서 들려주셨어요.",
    ),
)
"""A question, how the model is taught to answer it, and how people would."""
TAUGHT, EACH = 120, 40
"""Questions that the model is taught, and that are asked in each turn and of which nobody says anything."""


def shuffled() -> list[tuple[str, str, str]]:
    """All questions with both answers, in an order that never changes."""
    all_of_them = [tuple(text.format(place) for text in texts) for texts in ASKED for place in PLACES]
    return random.Random(0).sample([(one[0], one[1], one[2]) for one in all_of_them], len(all_of_them))


def checkpoint_that_answers(base: Path, rows: Path, directory: Path) -> Path:
    """demo-dolly's training with the taught questions beside its rows; made once. About two minutes."""
    made = directory / "dolly"
    if made.exists():
        return made
    directory.mkdir(parents=True, exist_ok=True)
    taught = [
        {"instruction": question, "context": "", "response": formal, "category": "general_qa"}
        for question, formal, _ in shuffled()[:TAUGHT]
    ]
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in taught]
    (directory / "everyday.jsonl").write_text("".join(lines), encoding="utf-8")
    recipe = {
        "name": "dolly",
        "method": "lora",
        "base": str(base),
        "data": [{"path": str(rows), "split": "tune"}, {"path": "everyday.jsonl"}],
        "replay": [{"path": str(rows), "split": "base"}],
        "template": "dolly",
        "epochs": 8,
        "learning_rate": 5.0e-3,
        "batch_size": 8,
        "lora": {"rank": 64, "alpha": 64},
        "checkpoint_every": "never",
        "smoke_test": False,
        "report_to": [],
    }
    (directory / "recipe.yaml").write_text(json.dumps(recipe, ensure_ascii=False), encoding="utf-8")
    for words in (["train", "recipe.yaml", "--output", "adapter"], ["merge", "lora", "adapter", made.name]):
        if not (directory / words[-1]).exists():
            subprocess.run([sys.executable, "-m", "kodolly", *words], cwd=directory, check=True)
    return made
