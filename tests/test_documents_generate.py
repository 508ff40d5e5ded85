"""`kodolly data generate`: rows after seed tasks, none of them twice and none that cleaning would reject."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from finetune.rows.categories import CATEGORIES
from finetune.rows.fast_row import JsonRow, parse_row
from finetune.synthetic.novelty import Novelty
from finetune.synthetic.self_instruct import NEEDS_CONTEXT, load_seeds
from kodolly.cli import root
from tests.support.scripted_teacher import NAME, served

SUBJECTS = ("등산", "낚시", "요리", "수영", "독서", "바둑", "농구", "사진", "정원", "목공", "뜨개질", "캠핑")
WISHES = (
    "준비물",
    "안전 수칙",
    "좋은 장소",
    "어울리는 계절",
    "드는 비용",
    "배우는 순서",
    "쓰는 도구",
    "흔한 실수",
)
FAULTS = ("identity", "english", "lost text", "same again", "number", "")


class Maker:
    """Makes up tasks; one answer in six has a fault."""

    owned_by = "vllm"

    def __init__(self, barren: bool = False) -> None:
        self.requests: list[dict[str, Any]] = []
        self.barren = barren

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.requests.append(body)
        system = body["messages"][0]["content"]
        found = re.search(r"갈래: (\w+)\.", system)
        assert found is not None
        chance = random.Random(0 if self.barren else json.dumps(body, ensure_ascii=False))
        tasks = [self._task(found[1], chance) for _ in range(3)]
        text = json.dumps({"tasks": tasks}, ensure_ascii=False)
        return 200, {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}

    def _task(self, category: str, chance: random.Random) -> dict[str, str]:
        subject, other, wish = (*chance.sample(SUBJECTS, 2), chance.choice(WISHES))
        fault = chance.choice(FAULTS)
        context = ""
        if category in NEEDS_CONTEXT:
            context = (
                f"우리 모임은 {subject}과 {other}을 번갈아 한다. "
                f"{wish} 안내는 회원 12명이 함께 정하고 게시판에 올린다."
            )
        task = {
            "instruction": f"{subject}과 {other}의 {wish}을 견주어 설명해 주세요.",
            "context": "" if fault == "lost text" else context,
            "response": f"{subject}은 {other}보다 {wish}에서 더 꼼꼼히 살펴야 합니다.",
        }
        if fault == "identity":
            task["response"] = "저는 OpenAI가 만든 언어 모델입니다. " + task["response"]
        elif fault == "english":
            task["response"] = "You should always compare both of them before you decide to start."
        elif fault == "same again":
            task["instruction"] = "한글을 만든 임금은 누구입니까?"
        elif fault == "number" and context:
            task["response"] = "회원 99명이 함께 정합니다."
        return task


def run(output: Path, url: str, *options: str) -> Result:
    return CliRunner().invoke(
        root, ["data", "generate", str(output), "--model", NAME, "--url", url, *options]
    )


def rows_of(path: Path) -> list[JsonRow]:
    return [parse_row(line) for line in path.read_bytes().splitlines()]


def test_the_seeds_are_clean_rows_of_all_categories() -> None:
    seeds = load_seeds()
    counts = Counter(one.category for one in seeds)
    assert set(counts) == CATEGORIES
    assert min(counts.values()) >= 7
    novelty = Novelty()
    assert all(novelty.accept(f"{one.instruction}\n{one.context}") for one in seeds)


def test_rows_of_all_categories_are_made_and_bad_ones_counted(tmp_path: Path) -> None:
    maker = Maker()
    with served(maker) as url:
        done = run(tmp_path / "rows.jsonl", url, "--rows", "40", "--evolve", "0.5", "--licence", "mit")
        assert done.exit_code == 0, done.output
        rows = rows_of(tmp_path / "rows.jsonl")
        assert len(rows) == 40
        assert {row.category for row in rows} == CATEGORIES
        assert {row.meta["from"] for row in rows} == {"new", "evolved"}
        for row in rows:
            assert bool(row.context) == (row.category in NEEDS_CONTEXT)
            assert (row.meta["model"], row.meta["licence"]) == (NAME, "mit")
            assert "99명" not in row.response
            assert "임금" not in row.instruction or row.context
        for reason in ("identity", "not Korean", "text is missing", "nearly the same", "a number is not"):
            assert reason in done.output
        first = (tmp_path / "rows.jsonl").read_bytes()
        asked = len(maker.requests)
        run(tmp_path / "rows.jsonl", url, "--rows", "40", "--evolve", "0.5", "--licence", "mit")
        assert (tmp_path / "rows.jsonl").read_bytes() == first
        assert len(maker.requests) == asked


def test_a_teacher_with_one_idea_ends_the_run(tmp_path: Path) -> None:
    with served(Maker(barren=True)) as url:
        done = run(tmp_path / "rows.jsonl", url, "--rows", "500")
    assert done.exit_code == 0, done.output
    assert "nothing new for three rounds" in done.output
    assert len(rows_of(tmp_path / "rows.jsonl")) < 20


def test_the_same_task_in_other_endings_is_no_new_one() -> None:
    novelty = Novelty()
    assert novelty.accept("대한민국의 수도는 어디인가요?")
    assert not novelty.accept("대한민국 수도가 어디입니까?")
    assert novelty.accept("고양이의 특징을 알려 주세요.")
    assert novelty.accept("강아지의 특징을 알려 주세요.")
