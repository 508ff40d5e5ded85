"""How a comparison looks on the page: plain data in, component updates out."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from webui.choices import model_ids
from webui.conversation import ComparisonChoice
from webui.pages.compare.layout import FIRST, SIDES, ComparePage, Pane
from webui.pages.compare.side_tabs import side_tabs
from webui.pages.compare.state import choice_of, hidden_in, mark_of, may_vote, side_of, sides_of
from webui.pages.parts import Updates, ticking
from webui.pages.revise import edit_words
from webui.render import banner, chip, inline, key_hint, transcript
from webui.side_names import choice_text, side_text
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation
from webui.texts import Lang, text


class CompareView:
    """Draws on one page."""

    def __init__(self, page: ComparePage, cache: StatusCache) -> None:
        self.page = page
        self.cache = cache

    def layout(self, count: int, lang: Lang) -> Updates:
        """So many panes, and how they are called."""
        page = self.page
        updates: Updates = {
            page.pane_count: count,
            page.tabs: side_tabs(count),
            page.toolbar.add: gr.update(visible=count < len(SIDES)),
            page.toolbar.remove: gr.update(visible=count > FIRST),
            page.vote.rows[0]: gr.update(visible=count == FIRST),
            page.vote.rows[1]: gr.update(visible=count > FIRST),
        }
        for number, (choice, button) in enumerate(page.vote.best.items()):
            if choice in SIDES:
                updates[button] = gr.update(visible=number < count)
        for pane in page.panes[:count]:
            updates[pane.box] = gr.update(visible=True)
        for pane in page.panes[count:]:
            updates |= dict.fromkeys((pane.setup_box, pane.box, pane.rating_box), gr.update(visible=False))
        for pane in page.panes[:FIRST]:
            updates |= _labels(pane, count, lang)
        return updates

    def chat(self, pane: Pane, found: Conversation | None, lang: Lang, *, hidden: bool) -> str:
        """The conversation of one side."""
        label = side_text(lang, "conversation", pane.name, len(sides_of(found)))
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

    def whole(self, found: Conversation | None, lang: Lang, count: int = FIRST) -> Updates:
        """The conversation with everything around it; `count` panes for one that has no question yet."""
        panes = self.panes(found, count)
        return self.sides(panes, found, lang) | self.common(found, lang, count)

    def panes(self, found: Conversation | None, count: int = FIRST) -> tuple[Pane, ...]:
        """The panes that are shown."""
        return self.page.panes[: len(found.sides) if found else count]

    def sides(self, panes: Sequence[Pane], found: Conversation | None, lang: Lang) -> Updates:
        """Everything of some sides."""
        updates: Updates = {}
        for pane in panes:
            updates |= self.side(pane, found, lang)
        return updates

    def common(self, found: Conversation | None, lang: Lang, count: int = FIRST) -> Updates:
        """Buttons, vote row and what the blind switch hides."""
        page, hidden = self.page, hidden_in(found)
        running, begun = bool(found and found.running), any(side.turns for side in sides_of(found))
        files = (page.toolbar.clear, *page.toolbar.files.all)
        resized = (page.toolbar.blind, page.toolbar.add, page.toolbar.remove)
        updates: Updates = {
            page.names_hidden: hidden,
            page.composer.send: gr.update(visible=not running),
            page.composer.stop: gr.update(visible=running),
            **{button: gr.update(interactive=not running) for button in resized},
            **{button: gr.update(interactive=begun and not running) for button in files},
            page.examples: gr.update(visible=not begun),
            page.vote.box: gr.update(visible=begun and not running),
        }
        for pane in self.panes(found, count):
            updates[pane.setup_box] = gr.update(visible=not hidden)
        return updates | self._vote(found, lang)

    def _vote(self, found: Conversation | None, lang: Lang) -> Updates:
        several, vote = len(sides_of(found)) > FIRST, self.page.vote
        choice = choice_of(found) if found else None
        open_now = may_vote(found)
        if found is None or found.running or not all(side.turns for side in found.sides.values()):
            words = text(lang, "vote_wait")
        elif choice is not None:
            words = self._voted(found, choice, lang)
        else:
            asked = "vote_ask_best" if several else "vote_ask"
            words = text(lang, asked if open_now else "vote_off")
        updates: Updates = {vote.note: words}
        for each, button in (vote.best if several else vote.choices).items():
            chosen = "primary" if each == choice else "secondary"
            updates[button] = gr.update(interactive=open_now or choice is not None, variant=chosen)
        return updates

    def _voted(self, found: Conversation, choice: ComparisonChoice, lang: Lang) -> str:
        """What was voted, with the names that are known now."""
        names = " · ".join(
            f"{side_text(lang, 'name', pane, len(found.sides))} {side.last.setup.model}"
            for pane, side in found.sides.items()
            if side.last
        )
        said = choice_text(lang, choice, len(found.sides))
        return text(lang, "vote_saved", choice=said, names=inline(names))

    def status(self, models: Sequence[str | None], lang: Lang, *, hidden: bool) -> Updates:
        """What the gateway last said of the chosen models, banner and hint; and whether to ask on."""
        page, cache, count = self.page, self.cache, len(models)
        chips = {
            pane.chip: chip(
                cache, model, lang, title=side_text(lang, "name", pane.name, count) if hidden else ""
            )
            for pane, model in zip(page.panes, models, strict=False)
        }
        return {
            page.banner: banner(cache, lang),
            page.hint: key_hint(cache.providers, lang),
            page.timer: ticking(cache, *models),
        } | chips

    def pickers(self, models: Sequence[str | None], lang: Lang, listed: Sequence[str] = ()) -> Updates:
        """The lists of the pickers, and what is chosen in them; `listed` stays listed."""
        names = model_ids(self.cache.models, *models, *listed)
        choices: list[Any] = [(name, name) for name in names]
        updates: Updates = {self.page.model_list: names}
        for pane, model in zip(self.page.panes, models, strict=False):
            label = side_text(lang, "model", pane.name, len(models))
            updates[pane.picker] = gr.update(choices=choices, value=model, label=label)
        return updates


def _labels(pane: Pane, count: int, lang: Lang) -> Updates:
    """What is called left and right of two is called by its number of more."""
    parts = {
        "model": pane.picker,
        "settings": pane.settings,
        "rating": pane.score,
        "tags": pane.tags,
        "prompt": pane.prompt,
    }
    return {part: gr.update(label=side_text(lang, what, pane.name, count)) for what, part in parts.items()}
