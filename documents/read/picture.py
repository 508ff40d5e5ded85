"""A picture alone (PNG, JPEG), as a scanner or a telephone makes it: one page, read by OCR."""

from pathlib import Path

import pypdfium2 as pdfium
from PIL import Image, ImageOps, UnidentifiedImageError

from documents.read.pdf_blocks import Sizes, blocks_of
from documents.read.pdf_layout import reading_order
from documents.read.raw import RawDocument, RawPage, Unreadable

FORMATS = {"png": "PNG", "jpeg": "JPEG"}
MOST_PIXELS = 50_000_000
SHEET_PT = 842.0
"""The longer side is taken for that of a sheet of A4, as what a picture says of its size is mostly wrong: a
telephone knows nothing of the paper, and a screen has none."""


def read_picture(path: Path, kind: str, *, ocr: bool) -> RawDocument:
    """`kind`: a key of FORMATS. Raises Unreadable, also without `ocr`, and OSError."""
    if not ocr:
        raise Unreadable(
            "it is a picture, whose text takes OCR",
            "Use `kodolly documents add --ocr`, or the setting documents.ocr of the service.",
        )
    pdf = pdfium.PdfDocument.new()
    page = _printed(pdf, _opened(path, kind))
    try:
        return RawDocument(kind, (_recognised(page),))
    finally:
        page.close()
        pdf.close()


def _opened(path: Path, kind: str) -> Image.Image:
    """Upright and grey, on white. Raises Unreadable and OSError."""
    try:
        picture = Image.open(path, formats=(FORMATS[kind],))
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Unreadable(f"it is no {FORMATS[kind]} picture that can be read") from error
    with picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise Unreadable(
                f"it has more than {MOST_PIXELS // 1_000_000} million pixels", "Make it smaller."
            )
        upright = ImageOps.exif_transpose(picture).convert("RGBA")
    white = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(white, upright).convert("L")


def _printed(pdf: pdfium.PdfDocument, picture: Image.Image) -> pdfium.PdfPage:
    """A page that the picture fills."""
    scale = SHEET_PT / max(picture.size)
    width, height = (max(1.0, side * scale) for side in picture.size)
    page = pdf.new_page(width, height)
    image = pdfium.PdfImage.new(pdf)
    image.set_bitmap(pdfium.PdfBitmap.from_pil(picture))
    image.set_matrix(pdfium.PdfMatrix().scale(width, height))
    page.insert_obj(image)
    page.gen_content()
    return page


def _recognised(page: pdfium.PdfPage) -> RawPage:
    from documents.read.ocr import recognise

    found = recognise(page)
    items = list(found.items)
    # A picture does not say how large its letters are meant to be: only their words tell its headings.
    blocks = blocks_of(reading_order(items), Sizes(items[0].size if items else 0.0, ()))
    return RawPage(1, blocks, 0, found.note, found.confidence if items else None)
