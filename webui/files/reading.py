"""What a file is that somebody puts beside a question: by what is in it, whatever it is called."""

import io
import re
import unicodedata
from collections.abc import Callable

from PIL import Image, UnidentifiedImageError

from common.graphemes import cut
from common.normal_form import nfc
from webui.conversation import QUESTION_CHARACTERS
from webui.files.file import ReadFile
from webui.files.whole_image import is_whole
from webui.text_decoding import decoded

FILE_BYTES = 5 * 1024 * 1024
NAME_CHARACTERS = 100
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 16_384
IMAGE_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
READ_AS = IMAGE_TYPES | {"MPO": "image/jpeg"}
"""What the library calls them: a JPEG is MPO where the camera has put more images behind the first."""
BEGINNINGS = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP", re.DOTALL)
"""Of files of these types."""
TEXT_TYPE = "text/plain"
ReadPaper = Callable[[bytes], str]
"""The text of a PDF. Raises ValueError with a reason, and LockedPaper. It is called in a thread."""
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SVG = re.compile(r"(?:\s++|<\?xml[^>]*+>|<!--.*?-->|<!DOCTYPE[^>]*+>)*+<svg[\s>]", re.IGNORECASE | re.DOTALL)
"""Nothing in it is tried in a second way: what comes before may be long."""


class LockedPaper(ValueError):
    """It takes a password."""


class Unfit(Exception):
    """The file cannot go along with a question. `key` names the sentence, `reason` is said in it."""

    def __init__(self, key: str, reason: str = "") -> None:
        super().__init__(key)
        self.key = key
        self.reason = reason


def read_file(name: str, content: bytes, paper: ReadPaper | None = None) -> ReadFile:
    """Tell what a file is. No pixel is decoded: an image's head says its size. Raises Unfit."""
    name = _plain_name(name)
    if not content:
        raise Unfit("file_empty")
    if len(content) > FILE_BYTES:
        raise Unfit("file_large")
    if (image := _image_type(content)) is not None:
        return ReadFile("image", name, image, content)
    words = _paper_text(content, paper) if content.startswith(b"%PDF-") else _plain_text(content)
    if len(words) > QUESTION_CHARACTERS:
        raise Unfit("file_long")
    return ReadFile("text", name, TEXT_TYPE, words.encode())


def _image_type(content: bytes) -> str | None:
    """None for what is no image of a kind that is taken. Raises Unfit for one that is broken or too large."""
    try:
        with Image.open(io.BytesIO(content), formats=tuple(IMAGE_TYPES)) as image:
            width, height = image.size
            kind = READ_AS[image.format or ""]
            whole = is_whole(image, content)
    except UnidentifiedImageError as error:
        if BEGINNINGS.match(content):
            raise Unfit("file_broken") from error
        return None
    except Image.DecompressionBombError as error:
        raise Unfit("file_pixels") from error
    except Exception as error:  # whatever the library raises for a broken head is that file's fault
        raise Unfit("file_broken") from error
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise Unfit("file_pixels")
    if not whole:
        raise Unfit("file_broken")
    return kind


def _plain_text(content: bytes) -> str:
    words = decoded(content)
    if words is None or _CONTROLS.search(words):
        raise Unfit("file_unknown")
    if _SVG.match(words):
        raise Unfit("file_svg")
    if not words.strip():
        raise Unfit("file_empty")
    return words


def _paper_text(content: bytes, paper: ReadPaper | None) -> str:
    if paper is None:
        raise Unfit("file_no_pdf")
    try:
        words = paper(content)
    except LockedPaper as error:
        raise Unfit("file_pdf_locked") from error
    except ValueError as error:
        raise Unfit("file_pdf", str(error)) from error
    if not words.strip():
        raise Unfit("file_pdf_scanned")
    return words


def _plain_name(name: str) -> str:
    """One line without folders and without characters that turn the direction of what follows."""
    last = nfc(name).replace("\\", "/").rpartition("/")[2]
    kept = "".join(sign for sign in last if unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co"))
    return cut(" ".join(kept.split()), NAME_CHARACTERS) or "file"
