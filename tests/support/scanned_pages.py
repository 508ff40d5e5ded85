"""Pages of a PDF that are pictures, as a scanner makes them: Korean text drawn in columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/nanum/NanumMyeongjo.ttf")
"""From Debian's package fonts-nanum."""
WIDTH_PT, HEIGHT_PT = 595, 842
PITCH = 1.6
"""From one line to the next, in sizes of the letters."""
GUTTER_PT = 20.0
MARGIN_PT = 60.0


@dataclass(frozen=True)
class Scan:
    """How a page is drawn."""

    dpi: int = 200
    size_pt: float = 11.0
    columns: int = 2


def scanned(path: Path, pages: Sequence[tuple[str, Sequence[str]]], scan: Scan = Scan()) -> Path:
    """Write pages of a heading over the whole width and of paragraphs in columns."""
    pictures = [_page(heading, paragraphs, scan) for heading, paragraphs in pages]
    pictures[0].save(path, "PDF", resolution=scan.dpi, save_all=True, append_images=pictures[1:])
    return path


def _page(heading: str, paragraphs: Sequence[str], scan: Scan) -> Image.Image:
    pixels = scan.dpi / 72
    picture = Image.new("L", (round(WIDTH_PT * pixels), round(HEIGHT_PT * pixels)), 250)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONT, round(scan.size_pt * pixels))
    top = MARGIN_PT
    if heading:
        large = ImageFont.truetype(FONT, round(1.5 * scan.size_pt * pixels))
        draw.text((MARGIN_PT * pixels, top * pixels), heading, 20, large)
        top += 3 * scan.size_pt
    width = (WIDTH_PT - 2 * MARGIN_PT - (scan.columns - 1) * GUTTER_PT) / scan.columns
    column, y = 0, top
    for paragraph in paragraphs:
        for line in _wrapped(paragraph, font, width * pixels):
            if y > HEIGHT_PT - MARGIN_PT:
                column, y = column + 1, top
                assert column < scan.columns, "the text does not fit on the page"
            x = MARGIN_PT + column * (width + GUTTER_PT)
            draw.text((x * pixels, y * pixels), line, 20, font)
            y += PITCH * scan.size_pt
        y += 0.4 * scan.size_pt
    return picture


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines that end within words where they are full, as Korean print does."""
    made = [""]
    for letter in text:
        if font.getlength(made[-1] + letter) > width:
            made.append("")
        made[-1] = made[-1] + letter if made[-1] else letter.strip()
    return made
