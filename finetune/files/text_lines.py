"""The lines of a small UTF-8 text file, such as the questions of an evaluation."""

from pathlib import Path

from common.errors import UserError
from finetune.files.unreadable import unreadable


def text_lines(path: Path, what: str) -> list[tuple[int, str]]:
    """(number from 1, line) for every line that is not blank; what: what the file is, for messages.

    Only line feeds end a line: a JSON string may hold the other separators at which splitlines() cuts, such
    as U+2028. Raises UserError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error, what) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path} is not UTF-8 text.", hint="Save it as UTF-8.") from error
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
