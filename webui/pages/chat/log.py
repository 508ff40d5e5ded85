"""The chats of one browser, newest first."""

import uuid

from pydantic import Field, ValidationError

from webui.conversation import Data, Side

# A browser gives a site about 5 MB; this many chats of usual length stay far below.
MOST_CHATS = 50


class Chat(Data):
    """One conversation of the chat page."""

    id: str = Field(default_factory=lambda: str(uuid.uuid4()))
    side: Side = Side()

    @property
    def title(self) -> str:
        """Its first question on one line; the style sheet shortens it, so no syllable is ever cut."""
        return " ".join(self.side.turns[0].question.split()) if self.side.turns else ""


class ChatLog(Data):
    """All chats, and the one on the screen; None is a new one that has no question yet."""

    chats: tuple[Chat, ...] = ()
    current: str | None = None

    @property
    def side(self) -> Side:
        """The conversation on the screen."""
        return next((chat.side for chat in self.chats if chat.id == self.current), Side())

    def with_side(self, side: Side) -> "ChatLog":
        """With the conversation on the screen replaced; a conversation without turns is dropped."""
        current = self.current or str(uuid.uuid4())
        if not side.turns:
            return self.without(current)
        others = tuple(chat for chat in self.chats if chat.id != current)
        return ChatLog(chats=(Chat(id=current, side=side), *others)[:MOST_CHATS], current=current)

    def opened(self, chat_id: str | None) -> "ChatLog":
        """With another conversation on the screen; None starts a new one."""
        known = any(chat.id == chat_id for chat in self.chats)
        return ChatLog(chats=self.chats, current=chat_id if known else None)

    def without(self, chat_id: str | None) -> "ChatLog":
        """With one conversation deleted and a new one on the screen."""
        return ChatLog(chats=tuple(chat for chat in self.chats if chat.id != chat_id))


def load_log(stored: object) -> ChatLog:
    """As the browser kept it; an empty one when it kept none or one that no longer fits."""
    try:
        return ChatLog.model_validate(stored or {})
    except ValidationError:
        return ChatLog()
