"""Whether a conversation gives a picture, sound or video a name of its own (vLLM: `uuid` in a content part).

vLLM 0.32 keeps what it made of a file under that name, whoever sent it (`renderers/chat_utils.py`,
`multimodal/processing/inputs.py`), and a part with a name and no file is answered from what lies there.
"""

import re

import msgspec

from common.turns import Turns
from server.client.json_members import Member

CONVERSATIONS = ("messages", "input")
"""The fields of a body that hold content parts."""
EXACT_BYTES = 128 * 1024
"""In a longer conversation a key of that name counts wherever it stands."""
STEP_BYTES = 256 * 1024
_KEY = re.compile(rb'"(?:u|\\u0075){2}(?:i|\\u0069)(?:d|\\u0064)"')
_LONGEST_KEY = 26
_COLON = re.compile(rb"[ \t\r\n]*+:")


class _Message(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"")


class _Part(msgspec.Struct):
    uuid: object = None


_Other = str | int | float | bool | list[msgspec.Raw] | None
_messages = msgspec.json.Decoder(list[_Message | _Other])
_parts = msgspec.json.Decoder(list[_Part | _Other])


def may_name_files(body: bytes) -> bool:
    """False where no key can be `uuid`, escaped or not."""
    return b"uuid" in body or b"\\u00" in body


def names_files(conversation: bytes | msgspec.Raw) -> bool:
    """Whether a content part of one of the messages has a `uuid`. What is no conversation has none."""
    try:
        return any(
            isinstance(part, _Part) and part.uuid is not None
            for message in _messages.decode(conversation)
            if isinstance(message, _Message) and bytes(memoryview(message.content)[:1]) == b"["
            for part in _parts.decode(message.content)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


async def names_files_in(body: bytes, fields: dict[str, Member], turns: Turns) -> bool:
    """The same of a large body, in steps that let others run."""
    for name in CONVERSATIONS:
        field = fields.get(name)
        if field is None or not await _has_key(body, field, turns):
            continue
        value = body[field.value : field.value_end]
        if len(value) > EXACT_BYTES or names_files(value):
            return True
    return False


async def _has_key(body: bytes, field: Member, turns: Turns) -> bool:
    at = field.value
    while at < field.value_end:
        end = min(field.value_end, at + STEP_BYTES)
        # A step begins inside the one before, so that no key lies across two.
        for found in _KEY.finditer(body, max(field.value, at - _LONGEST_KEY), end):
            if _COLON.match(body, found.end()):
                return True
        at = end
        if turns.due():
            await turns.give_way()
    return False
