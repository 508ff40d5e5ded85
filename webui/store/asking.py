"""A question, and all that its page needs to go on, in one transaction."""

from dataclasses import dataclass

import sqlalchemy as sa

from webui.store.conversations import Conversation, Kind, NewQuestion, add_question
from webui.store.history import History, read_history
from webui.store.opening import PageDatabase
from webui.store.users import rater_in


@dataclass(frozen=True, slots=True)
class Asked:
    """What has become of a question."""

    conversation: Conversation
    rater: str
    """The id by which the gateway knows who asks."""
    history: History
    """Of conversations of this kind, with this one."""


class Asking:
    """Questions of all users."""

    def __init__(self, database: PageDatabase) -> None:
        self._database = database

    async def ask(self, user: str, kind: Kind, conversation_id: str | None, new: NewQuestion) -> Asked:
        """`Conversations.ask`, and what goes along with it. Raises the same."""

        def work(connection: sa.Connection) -> Asked:
            asked = add_question(connection, user, kind, conversation_id, new)
            return Asked(asked, rater_in(connection, user), read_history(connection, user, kind, ""))

        return await self._database.run(work)
