"""Rows, good and broken, that the tests of cleaning write, clean and read back."""

import json
from pathlib import Path
from typing import Any

from finetune.data.clean.assemble import CleanReport
from finetune.data.clean.rules import rules
from finetune.data.clean.run import clean
from finetune.data.load import load_rows
from finetune.files.outputs import rejects_path
from finetune.rows.row import Row

QUESTION = "봄에 심기 좋은 채소를 알려 주세요."
ANSWER = "상추와 시금치가 좋습니다. 둘 다 서늘한 날씨를 좋아해서 삼월부터 심을 수 있습니다."


def row(instruction: str = QUESTION, response: str = ANSWER, **more: Any) -> dict[str, Any]:
    return {
        "instruction": instruction,
        "context": "",
        "response": response,
        "category": "open_qa",
        **more,
    }


def write(path: Path, *lines: Any) -> Path:
    """Rows as JSON, texts as they are, bytes as they are."""
    data = b""
    for line in lines:
        if isinstance(line, dict):
            line = json.dumps(line, ensure_ascii=False)
        data += (line if isinstance(line, bytes) else line.encode()) + b"\n"
    path.write_bytes(data)
    return path


def rejects(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in rejects_path(output).read_bytes().splitlines()]


def cleaned(tmp_path: Path, *lines: Any, **asked: Any) -> tuple[CleanReport, list[Row], list[dict[str, Any]]]:
    """(report, rows kept, rejected lines) of cleaning one file."""
    output = tmp_path / "clean.jsonl"
    report = clean([write(tmp_path / "rows.jsonl", *lines)], output, rules(**asked), processes=1)
    kept = load_rows(output) if report.kept else []
    assert report.kept == len(kept)
    assert report.read == report.kept + sum(report.rejected.values())
    return report, kept, rejects(output)


BROKEN: dict[str, Any] = {
    "not_utf8": json.dumps(row(), ensure_ascii=False).encode("euc-kr"),
    "not_json": '{"instruction": "하나',
    "schema": {"instruction": "하나", "output": "둘"},
    "category": row(category="잡담"),
    "empty": row(response="  \u200b "),
    "broken_encoding": row(response="답은 占쏙옙占쏙옙입니다. 다시 한번 확인해 보시기 바랍니다."),
    "too_short": row(response="..."),
    "broken_fence": row(response="다음과 같이 씁니다.\n```python\nprint(1)"),
    "truncated": row(response="먼저 흙을 고르고 물을 충분히 준 다음에 씨앗을 뿌리며 그리고 햇빛을"),
    "repeats": row(response="물을 자주 주세요 그리고 " * 20 + "끝입니다."),
    "digit_run": row(response="전화는 99999999999번으로 하시면 됩니다. 고맙습니다."),
    "prompt_marker": row(response="상추입니다.\n\n### Instruction:\n다음 질문에 답하세요."),
    "leaked_prompt": row(response="크다의 반대말은 작다입니다.\n\n입력3: 넓다\n출력3: 좁다"),
    "foreign_words": row(response="상추는 볕을吸收하고 자랍니다. 물도 자주 주어야 합니다."),
    "html": row(response="<div class='a'>상추</div>와 시금치가 좋습니다."),
    "identity": row(response="저는 OpenAI에서 만든 언어 모델이라 채소를 심어 본 적이 없습니다."),
    "refusal": row(response="죄송하지만 그 질문에는 답변을 드릴 수 없습니다."),
    "hangul_ratio": row(response="Lettuce and spinach are good because both like cool weather in spring."),
    "answer_not_in_context": row(context="가을에는 무를 심는다.", response="배추", meta={"answer_start": 3}),
}


LONG = (
    "상추는 서늘한 날씨를 좋아하므로 봄과 가을에 심습니다. "
    "씨앗을 얕게 묻고 흙이 마르지 않게 물을 자주 주면 한 달 뒤에 거둘 수 있습니다."
)


def pair(chosen: str = ANSWER, rejected: str = "모릅니다.", **more: Any) -> dict[str, Any]:
    return {"instruction": QUESTION, "context": "", "chosen": chosen, "rejected": rejected, **more}
