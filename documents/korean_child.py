"""A Kiwi in a process of its own, for a service: while Kiwi loads, and within a text, no other thread of its
process runs, so beside an event loop it would hold up every answer for seconds.

The child is `python -m documents.korean_child`. Requests and answers are msgpack, each behind its length.
"""

import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TypeVar

import msgspec

from common.child_environment import SYSTEM, child_environment
from common.child_process import ending_with_parent
from common.errors import UserError
from documents.korean import Token, asking, local_scores, local_tokens

T = TypeVar("T")
TOGETHER = 16
"""How many texts one request holds: a search that comes while files are indexed waits for no more than
these."""
COMMAND = (sys.executable, "-P", "-m", "documents.korean_child")
_LENGTH = struct.Struct("<I")


class _Request(msgspec.Struct):
    wants: str
    texts: list[str]


class KoreanChild:
    """Started at the first question, and again after its end; `close` it."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def start(self) -> None:
        """Have it load now; returns at once."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """Ask nothing afterwards; whoever is still waiting for an answer gets UserError."""
        self._closed = True
        if (process := self._process) is not None:
            process.kill()  # then whoever waits for its answer lets the lock go
            with self._lock:
                _end(process)

    def tokens(self, texts: Sequence[str]) -> list[list[Token]]:
        """As `documents.korean.tokens_of`. Raises UserError when it cannot be started, or dies twice."""
        return self._asked("tokens", texts, list[list[Token]])

    def scores(self, texts: Sequence[str]) -> list[float]:
        """As `documents.korean.scores_of`."""
        return self._asked("scores", texts, list[float])

    def _asked(self, wants: str, texts: Sequence[str], kind: type[list[T]]) -> list[T]:
        made: list[T] = []
        for first in range(0, len(texts), TOGETHER):
            request = msgspec.msgpack.encode(_Request(wants, list(texts[first : first + TOGETHER])))
            made += msgspec.msgpack.decode(self._answer(request), type=kind)
        return made

    def _answer(self, request: bytes) -> bytes:
        """The child's answer. One that has died, perhaps over somebody else's question, is replaced and asked
        once more."""
        for _ in range(2):
            with self._lock:
                process = self._running()
                assert process.stdin is not None
                assert process.stdout is not None
                try:
                    _write(process.stdin, request)
                    return _read(process.stdout)
                except (EOFError, OSError, ValueError):
                    _end(process)
        raise UserError("The process that analyses Korean text has died.", hint="It takes 1 GiB of memory.")

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._closed:
            raise UserError("The service is stopping.")
        if self._process is not None and self._process.poll() is not None:
            _end(self._process)
            self._process = None
        if self._process is None:
            self._process = subprocess.Popen(
                ending_with_parent(self._command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child_environment(os.environ, SYSTEM),
            )
        return self._process


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(OSError):  # what it has not read
            pipe.close()


@contextmanager
def kiwi_in_a_child() -> Iterator[None]:
    """While the block runs, this process asks a child for whatever takes Kiwi."""
    child = KoreanChild()
    child.start()
    try:
        with asking(child):
            yield
    finally:
        child.close()


def _write(pipe: IO[bytes], body: bytes) -> None:
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> bytes:
    """Raises EOFError where the other end is gone."""
    head = pipe.read(_LENGTH.size)
    body = pipe.read(_LENGTH.unpack(head)[0]) if len(head) == _LENGTH.size else b""
    if len(head) < _LENGTH.size or len(body) < _LENGTH.unpack(head)[0]:
        raise EOFError
    return body


def main() -> None:
    """Answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    local_tokens(["안녕하세요"])  # loads what the first question would wait for
    while True:
        try:
            request = msgspec.msgpack.decode(_read(sys.stdin.buffer), type=_Request)
        except EOFError:
            return
        made = local_scores(request.texts) if request.wants == "scores" else local_tokens(request.texts)
        _write(answers, msgspec.msgpack.encode(made))


if __name__ == "__main__":
    main()
