"""Text files as Korean programs write them."""

from common.normal_form import nfc

UTF16 = (b"\xff\xfe", b"\xfe\xff")


def decoded(content: bytes) -> str | None:
    """The text in NFC, of UTF-8, UTF-16 with its mark, or CP949; None where it is none of these."""
    for encoding in ("utf-16",) if content.startswith(UTF16) else ("utf-8-sig", "cp949"):
        try:
            return nfc(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    return None
