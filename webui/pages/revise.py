"""Answers and questions once more: other versions, an answer that goes on, an edited question.

For both pages with a conversation: a pane has its buttons, and the transcript's script (`assets/answers.js`)
says which question was edited.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.answering import Answering
from webui.conversation import QUESTION_CHARACTERS
from webui.notices import tell
from webui.pages.conversation_list import Show
from webui.pages.page_events import PageEvents, ordered
from webui.pages.parts import Updates, lang_of, user_in
from webui.pages.setup import SetupInputs
from webui.status_cache import StatusCache
from webui.store.conversations import Conversation, Kind, StillAnswering
from webui.store.files import NoImages
from webui.store.page_store import PageStore
from webui.texts import Lang, text

Listener = Callable[..., Awaitable[Updates]]


@dataclass(frozen=True)
class ReviseButtons:
    """Of one pane."""

    older: gr.Button
    place: gr.HTML
    """Which version of how many."""
    newer: gr.Button
    proceed: gr.Button

    @property
    def all(self) -> list[Any]:
        return [self.older, self.place, self.newer, self.proceed]

    def draw(self, found: Conversation | None, pane: str) -> Updates:
        """What can be done with the pane's last answer."""
        at, count = found.versions.get(pane, (0, 0)) if found else (0, 0)
        last = found.sides[pane].last if found else None
        free = found is not None and not found.running
        several = free and count > 1
        return {
            self.older: gr.update(visible=several, interactive=at > 1),
            self.place: f'<span class="kd-small">{at} / {count}</span>' if several else "",
            self.newer: gr.update(visible=several, interactive=at < count),
            self.proceed: gr.update(visible=free and last is not None and last.can_go_on),
        }


def revise_buttons(t: gr.I18n, pane: str) -> ReviseButtons:
    """Lay them out."""
    return ReviseButtons(
        older=gr.Button(t("older"), size="sm", visible=False, elem_id=f"{pane}-older"),
        place=gr.HTML(elem_id=f"{pane}-version", elem_classes="kd-version"),
        newer=gr.Button(t("newer"), size="sm", visible=False, elem_id=f"{pane}-newer"),
        proceed=gr.Button(t("proceed"), size="sm", visible=False, elem_id=f"{pane}-proceed"),
    )


@dataclass(frozen=True)
class QuestionEdit:
    """What the script presses when a question was edited, and where it puts the question."""

    button: gr.Button
    question: gr.JSON
    """{"answer": id of an answer to the question as it was, "question": as it is now}"""


def edit_parts(page: str) -> QuestionEdit:
    """Nobody sees them."""
    return QuestionEdit(gr.Button(visible="hidden", elem_id=f"{page}-edit"), gr.JSON(None, visible="hidden"))


def edit_words(page: str, lang: Lang) -> str:
    """JSON: what the script needs to have a question edited."""
    words = {name: text(lang, f"edit_{name}") for name in ("question", "send", "cancel", "hint")}
    return json.dumps({"press": f"{page}-edit", **words}, ensure_ascii=False)


class ReviseEvents:
    """The listeners of one page."""

    def __init__(
        self,
        kind: Kind,
        setups: Mapping[str, SetupInputs],
        cache: StatusCache,
        store: PageStore,
        answering: Answering,
        show: Show,
    ) -> None:
        """`setups` by pane; `show` draws the page."""
        self.kind = kind
        self.setups = setups
        self.cache = cache
        self.store = store
        self.answering = answering
        self.show = show

    def wire(
        self,
        served: PageEvents,
        buttons: Mapping[str, ReviseButtons],
        edit: QuestionEdit,
        shown: gr.Textbox,
        whole: list[Any],
    ) -> None:
        """Attach them; `whole` is what `show` draws."""
        for pane, own in buttons.items():
            served.on(f"{pane}-older", own.older.click, self.step(pane, -1), [shown], whole, draws=True)
            served.on(f"{pane}-newer", own.newer.click, self.step(pane, 1), [shown], whole, draws=True)
            proceed = self.proceed(pane)
            served.on(f"{pane}-proceed", own.proceed.click, proceed, [shown], whole, draws=True)
        inputs = {edit.question, shown, *(part for setup in self.setups.values() for part in setup.all)}
        edited = f"Object.assign(given, {{{ordered(inputs).index(edit.question)}: window.kodolly.edited}})"
        listener = self.edit(edit.question, shown)
        pressed = edit.button.click
        served.on(f"{self.kind}-edit", pressed, listener, inputs, whole, given=edited, draws=True)

    def step(self, pane: str, by: int) -> Listener:
        """Show an earlier or later version of the pane's last answer, and go on from it."""
        versions = self.store.versions
        return self._changing(lambda user, known: versions.step(user, known, pane, by))

    def proceed(self, pane: str) -> Listener:
        """Have the pane's last answer go on."""
        versions = self.store.versions
        return self._changing(lambda user, known: versions.proceed(user, known, pane))

    def edit(self, edited: gr.JSON, shown: gr.Textbox) -> Listener:
        """Ask a question otherwise, in a conversation that branches off before it."""

        async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
            user, lang = user_in(request), lang_of(request)
            given = values[edited] if isinstance(values[edited], dict) else {}
            question, known = str(given.get("question") or "").strip(), values[shown] or ""
            if not question or len(question) > QUESTION_CHARACTERS:
                return _refused("ask_shorter" if question else "ask_question", lang, shown)
            try:
                branched = await self.store.versions.branch(user, known, str(given.get("answer")), question)
            except StillAnswering:
                return _refused("ask_wait", lang, shown)
            if branched is None:
                return _refused("edit_gone", lang, shown)
            branch, turn = branched
            kept = self.store.conversations
            found = await kept.get(user, known, self.kind)
            panes = found.sides if found else self.setups
            setups = {pane: self.setups[pane].read(values, self.cache) or turn.setup for pane in panes}
            hidden = bool(found and found.hidden)
            along: Any = {"context": turn.context, "files": [file.id for file in turn.files]}
            try:
                asked = await kept.ask(user, self.kind, branch, question, setups, hidden=hidden, **along)
            except NoImages:
                await kept.delete(user, branch or "")
                return _refused("ask_no_images", lang, shown)
            self._start(asked, user)
            return await self.show(request, asked)

        return listener

    def _changing(self, change: Callable[[str, str], Awaitable[Conversation | None]]) -> Listener:
        """The listener that changes the conversation on the screen; `change` takes user and conversation."""

        async def listener(request: gr.Request, shown: str | None) -> Updates:
            user = user_in(request)
            try:
                found = await change(user, shown) if shown else None
            except StillAnswering:
                tell(text(lang_of(request), "ask_wait"))
                found = await self.store.conversations.get(user, shown or "", self.kind)
            if found is not None:
                self._start(found, user)
            return await self.show(request, found)

        return listener

    def _start(self, found: Conversation, user: str) -> None:
        for side in found.sides.values():
            self.answering.start(side, user, hidden=found.hidden)


def _refused(key: str, lang: Lang, part: gr.Textbox) -> Updates:
    tell(text(lang, key))
    return {part: gr.skip()}
