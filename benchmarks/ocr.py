"""How many characters OCR gets wrong in clean Korean print; docs/documents.md quotes it.

    apt install tesseract-ocr tesseract-ocr-kor fonts-nanum
    python benchmarks/ocr.py --data DIRECTORY [--pages 10]

DIRECTORY holds kobest_v1.0/BoolQ/dev.tsv (SKT-LSL/KoBEST_datarepo) as published; nothing is fetched here. Its
paragraphs are set in NanumMyeongjo of 11 points, in one and in two columns, and made into pictures without
text at several resolutions. `kodolly documents add --ocr` reads them as any file; beside it stands tesseract
by its own default segmentation, which pytesseract and ocrmypdf use. The figure is the edit distance over the
characters that were printed, white space left out, so a paragraph that is missing or out of place counts.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from documents.read.file import ReadLimits, read_file
from documents.read.ocr import LANGUAGE, PROGRAM
from tests.support.scanned_pages import Scan, scanned

SCANS = (Scan(150, columns=1), Scan(200, columns=1), Scan(150), Scan(200), Scan(300))
CHARACTERS = 900
"""Of a page, at most."""


def paragraphs(data: Path) -> list[str]:
    """Those of BoolQ."""
    with (data / "kobest_v1.0/BoolQ/dev.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return list(dict.fromkeys(row["Text"] for row in rows))


def pages(texts: Sequence[str], count: int) -> list[list[str]]:
    """Paragraphs for so many pages."""
    made: list[list[str]] = [[]]
    for text in texts:
        if sum(map(len, made[-1])) + len(text) > CHARACTERS and made[-1]:
            if len(made) == count:
                return made
            made.append([])
        made[-1].append(text)
    return made


def distance(wanted: str, got: str) -> int:
    """Levenshtein's, without white space."""
    wanted, got = "".join(wanted.split()), "".join(got.split())
    codes = np.array([ord(letter) for letter in got], np.int64)
    steps = np.arange(len(got) + 1)
    row = steps.copy()
    for number, letter in enumerate(wanted, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(letter)))
        row = np.minimum.accumulate(np.concatenate(([number], best)) - steps) + steps
    return int(row[-1])


def by_default(path: Path, dpi: int) -> list[str]:
    """Pages as tesseract segments them."""
    texts = []
    environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
    for page in pdfium.PdfDocument(path):
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            page.render(scale=dpi / 72, grayscale=True).to_pil().save(file.name)
            command = [PROGRAM, file.name, "stdout", "-l", LANGUAGE, "--dpi", str(dpi)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            texts.append(done.stdout)
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=10)
    options = parser.parse_args()
    printed = pages(paragraphs(options.data), options.pages)
    letters = sum(len("".join(text.split())) for page in printed for text in page)
    print(f"{len(printed)} pages, {letters:,} characters; load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        for scan in SCANS:
            path = scanned(Path(directory) / "scan.pdf", [("", page) for page in printed], scan)
            began = time.perf_counter()
            read = read_file(path, ReadLimits(ocr=True)).pages
            took = (time.perf_counter() - began) / len(printed)
            sure = np.mean([page.confidence or 0.0 for page in read])
            wrong = sum(distance("".join(page), one.text) for page, one in zip(printed, read, strict=True))
            plain = by_default(path, scan.dpi)
            beside = sum(distance("".join(page), one) for page, one in zip(printed, plain, strict=True))
            print(
                f"{scan.columns} columns, {scan.dpi} dpi: {wrong / letters:.1%} wrong,"
                f" confidence {sure:.0f}%, {took:.1f} s a page; tesseract's default {beside / letters:.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
