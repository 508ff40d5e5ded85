"""Small images, made here."""

import io
import struct
import zlib

from PIL import Image


def image(kind: str = "PNG", size: tuple[int, int] = (8, 8), colour: str = "teal") -> bytes:
    """One of a single colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def camera_jpeg() -> bytes:
    """One as cameras and phones write it: with another image behind the first (MPO)."""
    out = io.BytesIO()
    behind = Image.new("RGB", (60, 60), "red")
    Image.new("RGB", (60, 60), "teal").save(out, "MPO", save_all=True, append_images=[behind])
    return out.getvalue()


def jpeg_with_preview() -> bytes:
    """One with a small image in its head."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x927C] = image("JPEG")  # wherever it stands in the segment
    Image.new("RGB", (60, 60), "teal").save(out, "JPEG", exif=exif)
    return out.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose head says so; there is no pixel in it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
