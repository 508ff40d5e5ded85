"""A file that attacks its reader ends the process that reads it, and nothing else."""

import zipfile
from pathlib import Path

import docx
import pytest

from common.errors import UserError
from documents.read.file import ReadLimits, read_file

LITTLE = ReadLimits(memory_bytes=300 * 2**20, seconds=60)


def docx_with_body(path: Path, body: bytes) -> Path:
    """A DOCX whose body is `body`."""
    plain = path.with_name("plain.docx")
    docx.Document().save(str(plain))
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            name = part.filename
            new.writestr(name, body if name == "word/document.xml" else old.read(name))
    return path


def bomb() -> bytes:
    """Much text that packs to nothing."""
    head = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
    return head + b"<w:p><w:r><w:t>a</w:t></w:r></w:p>" * 1_000_000 + b"</w:body></w:document>"


def test_a_zip_bomb_is_stopped_by_the_memory_limit(tmp_path: Path) -> None:
    path = docx_with_body(tmp_path / "bomb.docx", bomb())
    assert path.stat().st_size < 2**20
    with pytest.raises(UserError, match="takes more memory than is allowed|was stopped by it|is damaged"):
        read_file(path, LITTLE)


def test_a_zip_file_that_says_it_is_huge_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "huge.hwpx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Contents/section0.xml", "a")
    content = bytearray(path.read_bytes())
    size_in_directory = content.index(b"PK\x01\x02") + 24  # APPNOTE.TXT 4.3.12
    content[size_in_directory : size_in_directory + 4] = (550 * 2**20).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match="it unpacks to 550 MiB"):
        read_file(path)


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = docx_with_body(tmp_path / "slow.docx", bomb())
    with pytest.raises(UserError, match="reading it takes more than 1 s"):
        read_file(path, ReadLimits(seconds=1, memory_bytes=8 * 2**30))


def test_entities_of_xml_are_not_expanded(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("비밀", encoding="utf-8")
    body = (
        f'<!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}">]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
        "<w:p><w:r><w:t>글 &x;</w:t></w:r></w:p></w:body></w:document>"
    )
    document = read_file(docx_with_body(tmp_path / "xxe.docx", body.encode()))
    assert "비밀" not in document.pages[0].text
