"""What an event of a page has to say besides: a header of its answer, which `assets/composer.js` shows for
some seconds. Gradio's own messages need its queue, and with it two requests and a connection for each event.
"""

from contextvars import ContextVar
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "kodolly-notice"

_now: ContextVar[list[str] | None] = ContextVar("notices", default=None)


def tell(words: str) -> None:
    """Show `words` on the page whose event is answered."""
    notices = _now.get()
    if notices is None:
        raise RuntimeError("There is no event that could tell its page something.")
    notices.append(words)


class Notices:
    """Puts what was told while a request was answered into its head; of several words the last."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        notices: list[str] = []

        async def send_with_notice(message: Message) -> None:
            if message["type"] == "http.response.start" and notices:
                MutableHeaders(scope=message)[HEADER] = quote(notices[-1])
            await send(message)

        token = _now.set(notices)
        try:
            await self.app(scope, receive, send_with_notice)
        finally:
            _now.reset(token)
