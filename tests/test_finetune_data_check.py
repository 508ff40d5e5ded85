"""`kodolly data check`: says what cleaning would do, and writes no rows."""

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from kodolly.cli import root

GOOD = {
    "instruction": "비 오는 날에 읽기 좋은 책을 골라 주세요.",
    "context": "",
    "response": "조용한 수필집이 잘 어울립니다.",
    "category": "brainstorming",
}


def check(tmp_path: Path, *lines: dict[str, Any], options: tuple[str, ...] = ()) -> Result:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return CliRunner().invoke(root, ["data", "check", str(path), "--processes", "1", *options])


def test_good_rows_pass(tmp_path: Path) -> None:
    result = check(tmp_path, GOOD)
    assert result.exit_code == 0
    assert "1 rows read, 1 kept (100.0%)." in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_rows_that_would_be_rejected_fail_the_check(tmp_path: Path) -> None:
    broken = GOOD | {"response": "죄송합니다. 저는 도와드릴 수 없습니다."}
    result = check(tmp_path, GOOD, broken, GOOD)
    assert result.exit_code == 1
    assert "3 rows read, 1 kept (33.3%)." in result.output
    assert "1  refusal" in result.output
    assert "1  duplicate" in result.output


def test_a_finding_that_is_allowed_is_counted(tmp_path: Path) -> None:
    result = check(
        tmp_path, GOOD | {"response": "죄송하지만 알려 드릴 수 없습니다."}, options=("--allow", "refusal")
    )
    assert result.exit_code == 0
    assert "Let pass:\n          1  refusal" in result.output


def test_a_wrong_reason_is_a_user_error(tmp_path: Path) -> None:
    result = check(tmp_path, GOOD, options=("--allow", "refusals"))
    assert result.exit_code != 0
    assert "Did you mean refusal?" in str(result.exception)
