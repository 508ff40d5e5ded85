"""How a chat looks on the page: plain data in, component updates out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from webui.choices import default_pair, fresh_setup, model_ids
from webui.conversation import Side
from webui.opinions.words import script_words
from webui.pages.chat.layout import PANE, ChatPage
from webui.pages.parts import Updates, ticking
from webui.pages.revise import edit_words
from webui.render import banner, chip, transcript
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation
from webui.texts import Lang, text


class ChatView:
    """Draws on one page."""

    def __init__(self, page: ChatPage, cache: StatusCache) -> None:
        self.page = page
        self.cache = cache

    def conversation(self, found: Conversation | None, lang: Lang) -> Updates:
        """Questions and answers, with the buttons around them."""
        page = self.page
        side = found.sides[PANE] if found else Side()
        free, begun = not side.running, bool(side.turns)
        return {
            page.chat: transcript(
                "chat",
                "chat",
                side,
                text(lang, "conversation"),
                hidden=False,
                opinion=script_words(lang),
                edit=edit_words("chat", lang),
            ),
            page.composer.send: gr.update(visible=free),
            page.composer.stop: gr.update(visible=not free),
            page.retry: gr.update(visible=free and begun),
            page.undo: gr.update(visible=free and begun),
            page.new: gr.update(interactive=free and begun),
            **{button: gr.update(visible=free and begun) for button in page.files.all},
        } | page.revise.draw(found, PANE)

    def default_model(self) -> str | None:
        """The model that a new conversation begins with."""
        return default_pair(self.cache.models, self.cache.providers)[1]

    def sliders(self, model: str | None) -> Updates:
        """The sampling that the model's kind starts with."""
        if model is None:
            return {}
        return self.page.setup.show_sampling(fresh_setup(model, self.cache.find(model)))

    def status(self, model: str | None, lang: Lang) -> Updates:
        """What the gateway last said of the model, and whether to ask on."""
        return {
            self.page.banner: banner(self.cache, lang),
            self.page.chip: chip(self.cache, model, lang),
            self.page.timer: ticking(self.cache, model),
        }

    def picker(self, model: str | None, listed: Sequence[str] = ()) -> Updates:
        """The list of the picker, and what is chosen in it; `listed` stays listed."""
        names = model_ids(self.cache.models, model, *listed)
        choices: list[Any] = [(name, name) for name in names]
        return {self.page.setup.picker: gr.update(choices=choices, value=model), self.page.model_list: names}
