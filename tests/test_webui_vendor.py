"""The scripts of others that the pages bring along: as their README says, licensed, and in the wheel."""

import hashlib
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VENDOR = ROOT / "webui" / "assets" / "vendor"
OURS = re.compile(r"README\.md|LICENSE\..+")


def test_every_file_of_others_is_the_one_that_was_taken() -> None:
    told = (VENDOR / "README.md").read_text(encoding="utf-8")
    sums = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", told, re.MULTILINE)}
    found = {
        str(path.relative_to(VENDOR)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and not OURS.fullmatch(path.name)
    }
    assert found == sums
    for package in ("markdown-it", "dompurify", "katex"):
        assert (VENDOR / f"LICENSE.{package}").stat().st_size > 500
        assert re.search(rf"^\| {package} [0-9.]+ \| sha512-\S+ \|$", told, re.MULTILINE)


def test_all_of_it_is_part_of_the_package() -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = config["tool"]["setuptools"]["package-data"]["webui"]
    packed = {path for pattern in patterns for path in (ROOT / "webui").glob(pattern) if path.is_file()}
    assert {path for path in (ROOT / "webui" / "assets").rglob("*") if path.is_file()} <= packed
