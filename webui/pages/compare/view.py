"""How a comparison looks on the page: plain data in, component updates out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from common.feedback import Choice
from webui.choices import model_ids
from webui.conversation import Side
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import hidden_in, left_of, mark_of, right_of, side_of
from webui.pages.export import pair_key
from webui.pages.parts import Updates, ticking
from webui.pages.revise import edit_words
from webui.render import banner, chip, inline, key_hint, transcript
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation
from webui.texts import Lang, text


class CompareView:
    """Draws on one page."""

    def __init__(self, page: ComparePage, cache: StatusCache) -> None:
        self.page = page
        self.cache = cache

    def chat(self, pane: Pane, found: Conversation | None, lang: Lang, *, hidden: bool) -> str:
        """The conversation of one side."""
        label = text(lang, "conversation_left" if pane.name == "left" else "conversation_right")
        edit = edit_words("compare", lang)
        return transcript(pane.name, "compare", side_of(found, pane.name), label, hidden=hidden, edit=edit)

    def side(self, pane: Pane, found: Conversation | None, lang: Lang) -> Updates:
        """Everything of one side."""
        side, hidden = side_of(found, pane.name), hidden_in(found)
        turn, mark = side.last, mark_of(found, side)
        settled = turn is not None and not side.running
        return {
            pane.chat: self.chat(pane, found, lang, hidden=hidden),
            pane.actions: gr.update(visible=settled),
            pane.show_prompt: gr.update(visible=not hidden),
            pane.prompt_box: gr.update(visible=False),
            pane.rating_box: gr.update(visible=turn is not None and turn.complete),
            pane.score: gr.update(value=mark.score if mark else None),
            pane.tags: gr.update(value=list(mark.tags) if mark else []),
            pane.rating_note: "",
        } | pane.revise.draw(found, pane.name)

    def whole(self, found: Conversation | None, lang: Lang) -> Updates:
        """The conversation with everything around it."""
        return self.sides(self.page.panes, found, lang) | self.common(found, lang)

    def sides(self, panes: Sequence[Pane], found: Conversation | None, lang: Lang) -> Updates:
        """Everything of some sides."""
        updates: Updates = {}
        for pane in panes:
            updates |= self.side(pane, found, lang)
        return updates

    def common(self, found: Conversation | None, lang: Lang) -> Updates:
        """Buttons, vote row and what the blind switch hides."""
        page, left, right, hidden = self.page, left_of(found), right_of(found), hidden_in(found)
        running, begun = left.running or right.running, bool(left.turns or right.turns)
        note, may_vote = self._vote(found, lang)
        voted = found.votes.get(pair_key(left.last, right.last)) if found else None
        files = (page.toolbar.clear, *page.toolbar.files.all)
        updates: Updates = {
            page.names_hidden: hidden,
            page.composer.send: gr.update(visible=not running),
            page.composer.stop: gr.update(visible=running),
            page.toolbar.blind: gr.update(interactive=not running),
            **{button: gr.update(interactive=begun and not running) for button in files},
            page.examples: gr.update(visible=not begun),
            page.vote_box: gr.update(visible=begun and not running),
            page.vote_note: note,
        }
        for choice, button in page.votes.items():
            chosen = "primary" if choice == voted else "secondary"
            updates[button] = gr.update(interactive=may_vote, variant=chosen)
        for pane in page.panes:
            updates[pane.setup_box] = gr.update(visible=not hidden)
        return updates

    def _vote(self, found: Conversation | None, lang: Lang) -> tuple[str, bool]:
        left, right = left_of(found), right_of(found)
        a, b = left.last, right.last
        if found is None or a is None or b is None or left.running or right.running:
            return text(lang, "vote_wait"), False
        choice = found.votes.get(pair_key(a, b))
        if choice is not None:
            return self.vote_words(choice, left, right, lang), True
        if not (a.complete and b.complete):
            return text(lang, "vote_off"), False
        return text(lang, "vote_ask"), True

    def vote_words(self, choice: Choice, left: Side, right: Side, lang: Lang) -> str:
        """What was voted, with the names that are known now."""
        names = {
            name: inline(side.last.setup.model) if side.last else ""
            for name, side in (("left", left), ("right", right))
        }
        return text(lang, "vote_saved", choice=text(lang, f"choice_{choice}"), **names)

    def status(self, left: str | None, right: str | None, lang: Lang, *, hidden: bool) -> Updates:
        """What the gateway last said of both chosen models, banner and hint; and whether to ask on."""
        page, cache = self.page, self.cache
        return {
            page.banner: banner(cache, lang),
            page.hint: key_hint(cache.providers, lang),
            page.timer: ticking(cache, left, right),
            page.left.chip: chip(cache, left, lang, title=text(lang, "export_left") if hidden else ""),
            page.right.chip: chip(cache, right, lang, title=text(lang, "export_right") if hidden else ""),
        }

    def pickers(self, left: str | None, right: str | None, listed: Sequence[str] = ()) -> Updates:
        """The lists of both pickers, and what is chosen in them; `listed` stays listed."""
        names = model_ids(self.cache.models, left, right, *listed)
        choices: list[Any] = [(name, name) for name in names]
        return {
            self.page.left.picker: gr.update(choices=choices, value=left),
            self.page.right.picker: gr.update(choices=choices, value=right),
            self.page.model_list: names,
        }
