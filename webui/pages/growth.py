"""An answer as a page sees it grow, whichever process fetches it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from webui.answering import Answering
from webui.conversation import Side
from webui.store.conversations import Conversations

LOOK_S = 1.0
"""How often an answer that another process fetches is looked up in the store."""


async def growth(
    answering: Answering, conversations: Conversations, user: str, conversation_id: str, pane: str
) -> AsyncGenerator[tuple[Side, float], None]:
    """The side at `pane` while its last answer comes in, and the seconds waited for it.

    Ends when the answer has, or the conversation is gone; leaving it early ends no answer. Raises
    StoreFailed.
    """
    while True:
        found = await conversations.get(user, conversation_id)
        side = found.sides[pane] if found else Side()
        if side.last is None or not side.running:
            return
        followed = False
        async with aclosing(answering.follow(side.last.id)) as growing:
            async for side, waited_s in growing:
                followed = True
                yield side, waited_s
        if followed:
            return
        yield side, 0.0
        await asyncio.sleep(LOOK_S)
