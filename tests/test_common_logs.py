"""Log lines: one event a line in both formats, Korean as it is, facts as fields, no forged lines."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.escape import escape_controls
from common.logs import (
    JsonFormatter,
    LineHandler,
    TextFormatter,
    configure_logging,
    handle_together,
    with_fields,
)

HOSTILE = st.text(st.characters(codec=None)).filter(bool)
"""Any code point, halves of surrogate pairs included."""


def event(
    message: str, fields: dict[str, object] | None = None, level: int = logging.INFO
) -> logging.LogRecord:
    extra = with_fields(**(fields or {}))
    return logging.getLogger("part").makeRecord("part", level, "", 0, message, (), None, extra=extra)


def test_text_shows_level_logger_message_and_fields() -> None:
    line = TextFormatter().format(event("끝났습니다", {"model": "돌리 1", "status": 200, "empty": ""}))
    assert line[8:] == ' INFO    part: 끝났습니다 model="돌리 1" status=200 empty=""'
    assert line[2] == line[5] == ":"


def test_an_empty_value_is_seen() -> None:
    assert (
        TextFormatter()
        .format(event("done", {"model": "", "status": 200}))
        .endswith('done model="" status=200')
    )


def test_json_keeps_korean_and_types() -> None:
    line = JsonFormatter().format(event("끝났습니다", {"request_id": "req-1", "total_ms": 1.5, "n": 3}))
    assert "끝났습니다" in line
    body = json.loads(line)
    assert body.pop("time").endswith("Z")
    assert body == {
        "level": "info",
        "logger": "part",
        "message": "끝났습니다",
        "request_id": "req-1",
        "total_ms": 1.5,
        "n": 3,
    }


@settings(deadline=None)
@given(message=HOSTILE, value=HOSTILE)
@example(message="one\u2028two\u2029three\x85four\r", value="five\u2028")
@example(message="\x1b[31m", value="\x1b[31m")
def test_an_event_is_one_line_in_both_formats(message: str, value: str) -> None:
    record = event("%s", {"value": value})
    record.args = (message,)
    text = TextFormatter().format(record)
    assert len(text.splitlines()) == 1
    assert "\x1b" not in text
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["level"] == "info"
    line.encode("utf-8")


@settings(deadline=None)
@given(message=st.text(), value=st.text())
def test_json_gives_back_what_was_logged(message: str, value: str) -> None:
    body = json.loads(JsonFormatter().format(event(message, {"value": value})))
    assert (body["message"], body["value"]) == (message, value)


@given(st.text())
def test_escaped_text_holds_no_control_character(text: str) -> None:
    escaped = escape_controls(text)
    assert escaped.isprintable() or all(c.isprintable() or c in text for c in escaped)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in escaped)


def test_a_traceback_follows_the_text_line_and_stays_inside_the_json_line() -> None:
    try:
        raise ValueError("이유")
    except ValueError:
        record = logging.getLogger("part").makeRecord("part", 40, "", 0, "failed", (), sys.exc_info())
    text = TextFormatter().format(record)
    assert text.splitlines()[0].endswith("ERROR   part: failed")
    assert text.endswith("ValueError: 이유")
    body = json.loads(JsonFormatter().format(record))
    assert body["exception"].endswith("ValueError: 이유")
    assert body["level"] == "error"


def test_a_value_of_another_type_appears_as_its_text() -> None:
    record = event("kept", {"path": Path("a/b")})
    assert json.loads(JsonFormatter().format(record))["path"] == "a/b"
    assert TextFormatter().format(record).endswith("path=a/b")


PROGRAM = """
import logging, sys, warnings
from common.logs import configure_logging, with_fields
configure_logging("info", "json")
logging.getLogger("part").info("한국어", extra=with_fields(request_id="req-1"))
logging.getLogger("part").debug("not shown")
logging.getLogger("httpx").info("not shown")
warnings.warn("old thing")
raise RuntimeError("마지막")
"""


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX"])
def test_all_that_a_process_says_in_json_format_is_json(locale: str) -> None:
    env = {"LC_ALL": locale, "PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, env=env)
    assert "한국어" in done.stderr.decode("utf-8")  # as it is, not as escapes
    events = [json.loads(line) for line in done.stderr.decode("utf-8").splitlines()]
    assert [e["message"] for e in events][::2] == ["한국어", "the process ends with an error"]
    assert events[0]["request_id"] == "req-1"
    assert "old thing" in events[1]["message"]
    assert events[2]["exception"].endswith("RuntimeError: 마지막")
    assert done.returncode == 1


def test_text_is_the_default_and_the_level_counts(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure_logging("warning")
        logging.getLogger("part").info("quiet")
        logging.getLogger("part").warning("loud", extra=with_fields(request_id="req-1"))
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
    assert capsys.readouterr().err[8:] == " WARNING part: loud request_id=req-1\n"


def test_records_handled_together_are_one_write(capfd: pytest.CaptureFixture[str]) -> None:
    class Stream(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    def record(text: str, *args: object) -> logging.LogRecord:
        return logging.LogRecord("block.of", logging.INFO, __file__, 1, text, args, None)

    stream, others = Stream(), Stream()
    logger, child = logging.Logger("block"), logging.Logger("block.of")
    child.parent = logger
    logger.addHandler(LineHandler(stream))
    logger.addHandler(other := logging.StreamHandler(others))
    handle_together(child, [record("하나"), record("%d", "no number"), record("둘")])
    assert (stream.getvalue(), stream.writes) == ("하나\n둘\n", 1)
    assert "no number" in capfd.readouterr().err
    assert others.getvalue() == "하나\n둘\n"
    child.addFilter(lambda record: "셋" not in record.getMessage())
    other.setLevel(logging.WARNING)
    handle_together(child, [record("셋"), record("넷")])
    assert (stream.getvalue(), others.getvalue()) == ("하나\n둘\n넷\n", "하나\n둘\n")
    child.propagate = False
    handle_together(child, [record("다섯")])
    child.propagate, child.disabled = True, True
    handle_together(child, [record("여섯")])
    assert stream.writes == 2
