"""Whether an image has its end. Models refuse one that was cut, and with it all later questions of a chat."""

from PIL import Image

_SCAN, _END = 0xDA, b"\xff\xd9"
"""Markers of JPEG (ITU-T T.81, B.1.1.3): coded pixels come behind one, an image ends with the other."""


def is_whole(image: Image.Image, content: bytes) -> bool:
    """Whether the opened `image`, whose file is `content`, is all there, as far as that is seen without
    decoding a pixel. Raises what the library raises for a broken one. WebP's head says its length: one that
    was cut is not opened."""
    if image.format == "PNG":
        image.verify()  # every part's checksum, to the end mark
    if image.format in ("JPEG", "MPO"):
        return content.find(_END, _first_scan(content)) >= 0
    return image.format != "GIF" or content.rstrip(b"\0").endswith(b";")


def _first_scan(content: bytes) -> int:
    """Where it is; the end of the file where there is none. A preview within a segment before it is passed
    over."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        if content[at + 1] == 0xFF:  # fill
            at += 1
        elif content[at + 1] == _SCAN:
            return at
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return len(content)
