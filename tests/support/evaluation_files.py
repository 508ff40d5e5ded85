"""Small files of KorQuAD and KoBEST, written for the tests."""

import json
from pathlib import Path

from finetune.eval.kobest_data import TASKS, KobestTask

TABLES: dict[KobestTask, str] = {
    "boolq": 'ID\tText\tQuestion\tAnswer\n1\t그는 "왔다" 갔다.\t그는 왔나?\tTRUE\n'
    "2\t눈이 왔다.\t비가 왔나?\tFalse\n",
    "copa": "ID\tsentence\tquestion\t1\t2\tAnswer\n1\t비가 왔다.\t결과\t땅이 젖었다.\t땅이 말랐다.\t1\n",
    "hellaswag": "context\tchoice1\tchoice2\tchoice3\tchoice4\tlabel\n물을 끓인다.\t가\t나\t다\t라\t3\n",
    "sentineg": "ID\tLabel\tText\n1\t1\t아주 좋아요\n2\t0\t다시는 안 사요\n",
    "wic": "ID\tTarget\tSENTENCE1\tDictionary 1\tSENTENCE2\tDictionary 2\tANSWER\n"
    "1\t배\t[배]를 먹었다.\t1\t[배]를 탔다.\t2\tfalse\n",
}


def write_tables(folder: Path, split: str = "dev") -> Path:
    """KoBEST's five folders with a small table each, written for these tests."""
    for name, task in zip(("BoolQ", "COPA", "HellaSwag", "SentiNeg", "WiC"), TASKS, strict=True):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{split}.tsv").write_text(TABLES[task], encoding="utf-8")
    return folder


def korquad_file(path: Path, items: list[tuple[str, str, str]]) -> Path:
    """A KorQuAD 1.0 file of (question, context, answer)."""
    paragraphs = [
        {"context": context, "qas": [{"id": f"q{n}", "question": question, "answers": [{"text": answer}]}]}
        for n, (question, context, answer) in enumerate(items)
    ]
    content = {"version": "own", "data": [{"title": "글", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path
