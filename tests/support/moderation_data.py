"""A small labelled set in AI Hub's shape, and a model trained on it."""

import json
from pathlib import Path
from typing import Any

from moderation.classes import CLASSES

ENDINGS = {
    "CENSURE": "일 처리가 한심하고 무능하다",
    "HATE": "저 족속은 벌레 같아서 역겹다",
    "DISCRIMINATION": "여자는 집에서 밥이나 해야지",
    "SEXUAL": "몸매가 섹시해서 만지고 싶다",
    "ABUSE": "이 멍청한 놈아 꺼져라",
    "VIOLENCE": "몽둥이로 패서 죽여 버린다",
    "CRIME": "몰래 훔쳐서 팔면 안 걸려",
}
"""One marked phrase for each class; a sentence of the class has it."""
CLEAN = (
    "오늘은 날씨가 맑아요",
    "점심에 비빔밥을 먹었습니다",
    "회의는 두 시에 시작합니다",
    "고맙습니다, 또 만나요",
)
OPENINGS = ("글쎄", "정말", "아니", "그러니까", "어제 보니", "있잖아", "다들")


def dialogues(count: int = 28) -> list[dict[str, Any]]:
    """Dialogues of one sentence of each of two classes and two clean ones."""
    made = []
    for number in range(count):
        names = [CLASSES[number % 7], CLASSES[(number + 3) % 7]]
        opening = OPENINGS[number // 7 % len(OPENINGS)]
        said = [
            {"text": f"{opening} {ENDINGS[name]}", "types": [name], "intensity": 1.0 + number % 3}
            for name in names
        ]
        said += [
            {"text": f"{opening}, {CLEAN[(number + i) % 4]}", "types": ["IMMORAL_NONE"], "intensity": 0.0}
            for i in (0, 1)
        ]
        made.append({"id": f"d{number}", "sentences": said})
    return made


def write_dialogues(path: Path, made: list[dict[str, Any]] | None = None) -> Path:
    """The set as AI Hub writes it: UTF-8 with a byte order mark."""
    text = json.dumps(dialogues() if made is None else made, ensure_ascii=False)
    path.write_text(text, encoding="utf-8-sig")
    return path


def trained(directory: Path) -> Path:
    """A model of the small set, made as `kodolly train moderation` makes it."""
    from finetune.moderation.run import train_moderation
    from finetune.progress import silent

    data = write_dialogues(directory / "ethics.json")
    target = directory / "small-moderation"
    train_moderation([data], [], target, "test", silent)
    return target
