"""Which question an answer is to, as a hash: feedback on one question is trained on or held out whole."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from common.normal_form import nfc

HELD_OUT_SHARE = 0.2
"""Of the questions, unless `gateway.feedback_held_out` says otherwise."""
DIGITS = 16
"""Hex digits of a hash."""


class HasRoleAndContent(Protocol):
    """A message of a chat."""

    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...


def prompt_hash(messages: Sequence[HasRoleAndContent]) -> str:
    """Hash of the last question in `messages`; "" when there is none.

    System prompt and history do not count, nor do case, spaces and the form of Hangul: the same question
    asked in another conversation must not be trained on where it is held out.
    """
    question = next((message.content for message in reversed(messages) if message.role == "user"), "")
    words = nfc(question).casefold().split()
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:DIGITS] if words else ""


def is_held_out(hashed: str, share: float) -> bool:
    """Whether the question with this hash is for judging only. When the share grows, those that were held
    out stay so."""
    return bool(hashed) and int(hashed, 16) < share * 16**DIGITS
