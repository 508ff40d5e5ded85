"""The process that parses one file: `python -m documents.read.reading_process FILE MEMORY SECONDS TEXT OCR`.

It writes one `ReaderReply` as JSON and ends. What a hostile file does to it stays in it.
"""

import os
import resource
import sys
from pathlib import Path

import msgspec

from documents.read.formats import parse
from documents.read.raw import ReaderReply, Unreadable

DEPTH = 100_000
"""How deep calls may go: a page whose tags are never closed goes as deep as it has tags. Memory ends it."""


def main() -> None:
    """Read the file that the arguments name, within the memory (bytes), the processor time (seconds) and
    the size of the answer (bytes) that they allow; the last one is `ocr` or empty."""
    path, memory, seconds, size = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a parser prints is no answer
    sys.setrecursionlimit(DEPTH)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    written = msgspec.json.encode(_answer(path, ocr=sys.argv[5] == "ocr"))
    if len(written) > size:
        written = msgspec.json.encode(ReaderReply(reason=f"it holds more than {size // 2**20} MiB of text"))
    with os.fdopen(answers, "wb") as out:
        out.write(written)


def _answer(path: Path, *, ocr: bool) -> ReaderReply:
    try:
        return ReaderReply(parse(path, ocr=ocr))
    except Unreadable as error:
        return ReaderReply(reason=error.reason, hint=error.hint)
    except OSError as error:
        return ReaderReply(reason=error.strerror or "it is damaged")
    except MemoryError:
        return ReaderReply(reason="reading it takes more memory than is allowed")
    except ImportError as error:
        return ReaderReply(reason=f"{error.name} is missing", hint="Install the extra `documents`.")
    except Exception as error:  # whatever a parser raises for a broken file is that file's fault
        return ReaderReply(reason=f"it is damaged ({type(error).__name__})")


if __name__ == "__main__":
    main()
