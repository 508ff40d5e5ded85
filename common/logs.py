"""Log set-up, called once by each process's entry point. Lines go to stderr as UTF-8, as text or as JSON.

An event's facts that a machine may want go into fields:

    logger.warning("upstream %s refused", upstream.id, extra=with_fields(request_id=rid))

Text lines show them as `name=value` behind the message, JSON lines as members of the object.
"""

import contextlib
import io
import logging
import re
import sys
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, TextIO

from common.escape import escape_controls
from common.redact import redacted_text

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

NOISY = (
    # One line a request comes from the gateway itself; uvicorn's and the clients' would repeat it.
    "uvicorn.access",
    "uvicorn.error",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "alembic",
)


def configure_logging(level: LogLevel = "info", log_format: LogFormat = "text") -> None:
    """Send all loggers of this process to stderr."""
    if isinstance(sys.stderr, io.TextIOWrapper):
        # Whatever the locale says; a byte that is no text must not cost the line.
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = LineHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # No format shows them, and finding them out costs a fifth of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(log_format == "json")
    sys.excepthook = _log_uncaught if log_format == "json" else sys.__excepthook__


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes each line at once, or several together."""

    def handle_together(self, records: Iterable[logging.LogRecord]) -> None:
        """What `handle` would do with each, in one write."""
        lines = []
        for record in records:
            try:
                lines.append(self.format(record) + self.terminator)
            except Exception:
                self.handleError(record)
        with self.lock or contextlib.nullcontext():
            try:
                self.stream.write("".join(lines))
                self.flush()
            except OSError:
                pass  # a full disk or a closed pipe; there is no other place to say so


def handle_together(logger: logging.Logger, records: Sequence[logging.LogRecord]) -> None:
    """What `logger.handle` would do with records of one level, in one write: a system call for each of many
    lines costs more than the lines, and so does the way of each through its handlers."""
    if logger.disabled:
        return
    if logger.filters:
        records = [record for record in records if logger.filter(record)]
    at: logging.Logger | None = logger
    while at is not None:
        for handler in at.handlers:
            if isinstance(handler, LineHandler) and not (handler.level or handler.filters):
                handler.handle_together(records)
            else:
                for record in records:
                    if record.levelno >= handler.level:
                        handler.handle(record)
        at = at.parent if at.propagate else None


def with_fields(**fields: object) -> dict[str, Any]:
    """The `extra` argument of a log call that carries these facts."""
    return {"fields": fields}


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, fields: one line whatever the message holds, and a traceback below."""

    def __init__(self) -> None:
        super().__init__()
        self._second = -1
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, time.strftime("%H:%M:%S", time.localtime(second))
        message = escape_controls(record.getMessage())
        line = f"{self._time} {record.levelname:<7} {record.name}: {message}"
        fields = record.__dict__.get("fields")
        if fields:
            places, values = _places(tuple(fields)), tuple(fields.values())
            shown = places % values
            if not _is_plain(shown, len(values)):
                shown = places % tuple([_quoted(str(value)) for value in values])
            line += shown
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + escape_controls(self.formatException(record.exc_info), keep="\n\t")
        if record.stack_info:
            line += "\n" + self.formatStack(record.stack_info)
        return redacted_text(line)


@lru_cache
def _places(names: tuple[str, ...]) -> str:
    """How fields of these names stand in a line."""
    return "".join([f" {name}=%s" for name in names])


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, logger, message, the fields, a traceback if there is one."""

    def __init__(self) -> None:
        super().__init__()
        import msgspec

        # Writes Korean as it is and knows no \\u; anything that is no JSON value appears as its text.
        self._encode = msgspec.json.Encoder(enc_hook=str).encode
        self._second = -1
        self._time = ""

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        event: dict[str, object] = {
            "time": f"{self._time}.{int((record.created - second) * 1000):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = record.__dict__.get("fields")
        if fields:
            event.update(fields)
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = self.formatStack(record.stack_info)
        try:
            line = self._encode(event).decode()
        except UnicodeEncodeError:  # half a surrogate pair, from a file name or a broken client
            line = self._encode({name: _without_surrogates(value) for name, value in event.items()}).decode()
        if "://" in line:
            line = JSON_STRING.sub(lambda found: f'"{redacted_text(found[1])}"', line)
        return line


JSON_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""What is hidden in one ends at characters that JSON never escapes: the rest stays whole."""


_UNQUOTED = bytes({*range(0x21, 0x7F), *range(0x80, 0x100)} - {*b'"='})
"""Bytes of values that need no quotes: printable ASCII but for blanks, quotes and equal signs; and all other
characters, which are looked at by themselves."""


def _is_plain(shown: str, fields: int) -> bool:
    """Whether none of so many values needs quotes: all blanks and equal signs are ours, and none is empty."""
    marks = shown.encode("utf-8", "surrogatepass").translate(None, _UNQUOTED)
    return (
        marks == b" =" * fields
        and "= " not in shown
        and not shown.endswith("=")
        and (shown.isascii() or shown.isprintable())
    )


def _needs_quotes(text: str) -> bool:
    return " " in text or '"' in text or "=" in text


def _quoted(text: str) -> str:
    if text and text.isprintable() and not _needs_quotes(text):
        return text
    return '"' + escape_controls(text).replace('"', '\\"') + '"'


def _without_surrogates(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("kodolly").critical("the process ends with an error", exc_info=(kind, error, trace))
