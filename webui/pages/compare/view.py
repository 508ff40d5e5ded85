"""How the state of a comparison looks on the page: plain data in, component updates out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from common.feedback import Choice
from webui.choices import model_ids
from webui.conversation import Mark, Side
from webui.pages.compare.export import pair_key
from webui.pages.compare.layout import ComparePage, Pane
from webui.pages.compare.state import Kept, Shared
from webui.pages.parts import Updates, ticking
from webui.render import banner, chat_messages, chip, failure_card, inline, key_hint, metrics_line
from webui.status_cache import StatusCache
from webui.texts import Lang, text


class CompareView:
    """Draws on one page."""

    def __init__(self, page: ComparePage, cache: StatusCache) -> None:
        self.page = page
        self.cache = cache

    def answer(self, pane: Pane, side: Side, shared: Shared, lang: Lang, waited_s: float = 0.0) -> Updates:
        """Conversation, figures and failure of one side."""
        turn = side.last
        failure = turn.failure if turn else None
        return {
            pane.chat: chat_messages(side, lang),
            pane.metrics: metrics_line(turn, waited_s, lang),
            pane.notice: failure_card(failure, lang, names_hidden=shared.hidden),
        }

    def side(self, pane: Pane, side: Side, shared: Shared, marks: dict[str, Mark], lang: Lang) -> Updates:
        """Everything of one side."""
        turn = side.last
        mark = marks.get(turn.id) if turn else None
        settled = turn is not None and not side.running
        return self.answer(pane, side, shared, lang) | {
            pane.actions: gr.update(visible=settled),
            pane.show_prompt: gr.update(visible=not shared.hidden),
            pane.prompt_box: gr.update(visible=False),
            pane.rating_box: gr.update(visible=turn is not None and turn.complete),
            pane.score: gr.update(value=mark.score if mark else None),
            pane.tags: gr.update(value=list(mark.tags) if mark else []),
            pane.rating_note: "",
        }

    def whole(self, kept: Kept, lang: Lang) -> Updates:
        """The conversation with everything around it."""
        left = self.side(self.page.left, kept.left, kept.shared, kept.left_marks, lang)
        right = self.side(self.page.right, kept.right, kept.shared, kept.right_marks, lang)
        return left | right | self.common(kept.shared, kept.left, kept.right, lang)

    def common(self, shared: Shared, left: Side, right: Side, lang: Lang) -> Updates:
        """Buttons, vote row and what the blind switch hides."""
        page = self.page
        running, begun = left.running or right.running, bool(left.turns or right.turns)
        note, may_vote = self._vote(shared, left, right, lang)
        voted = shared.votes.get(pair_key(left.last, right.last))
        updates: Updates = {
            page.send: gr.update(visible=not running),
            page.stop: gr.update(visible=running),
            page.toolbar[0]: gr.update(value=shared.blind, interactive=not running),
            **{button: gr.update(interactive=begun and not running) for button in page.toolbar[1:]},
            page.examples: gr.update(visible=not begun),
            page.vote_box: gr.update(visible=begun and not running),
            page.vote_note: note,
        }
        for choice, button in page.votes.items():
            chosen = "primary" if choice == voted else "secondary"
            updates[button] = gr.update(interactive=may_vote, variant=chosen)
        for pane in page.panes:
            updates[pane.setup_box] = gr.update(visible=not shared.hidden)
        return updates

    def _vote(self, shared: Shared, left: Side, right: Side, lang: Lang) -> tuple[str, bool]:
        a, b = left.last, right.last
        if a is None or b is None or left.running or right.running:
            return text(lang, "vote_wait"), False
        choice = shared.votes.get(pair_key(a, b))
        if choice is not None:
            return self.vote_words(choice, left, right, lang), False
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

    def status(self, shared: Shared, left: str | None, right: str | None, lang: Lang) -> Updates:
        """What the gateway last said of both chosen models, banner and hint; and whether to ask on."""
        page, cache = self.page, self.cache
        hidden = shared.hidden or (shared.blind and not shared.begun)
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
