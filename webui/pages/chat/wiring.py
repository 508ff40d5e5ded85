"""채팅 / Chat: which listener belongs to which component."""

import gradio as gr

from webui.pages.chat.events import ChatEvents
from webui.pages.chat.layout import PANE
from webui.pages.conversation_list import ListEvents
from webui.pages.export_buttons import wire_export
from webui.pages.page_events import PageEvents, ordered
from webui.pages.parts import (
    clear_composer,
    keep_address,
    on,
    open_composer,
    refresh_on_return,
    stop_on_escape,
)


def wire_chat(demo: gr.Blocks, events: ChatEvents, served: PageEvents) -> None:
    """Attach every listener of the page."""
    page, composer, shown = events.page, events.page.composer, events.page.conversations.shown
    actions = [page.retry, page.undo, page.new, *page.files.all, *page.revise.all]
    buttons = [composer.send, composer.stop, *actions]
    asked = [page.chat, *buttons, *page.conversations.drawn]
    settings = [*page.setup.all, *page.setup.presets.all]
    whole = [page.chat, *buttons, *page.conversations.all, *settings]
    status, lists = [page.banner, page.chip, page.timer], [page.setup.picker, page.model_list]
    refreshed = [*status, *lists, *page.setup.sampling]
    keep_address(shown)
    opened = [*whole, *status, page.model_list, page.old]
    loaded = served.on("chat-load", demo.load, events.load, [page.old], opened, draws=True)
    open_composer(loaded, composer.question)
    refresh_on_return(demo, "chat")
    stop_on_escape(demo, "chat")
    looking = [page.timer.tick, page.refresh.click]
    served.on("chat-refresh", looking, events.refresh, lists, refreshed, quiet=True)
    on(page.setup.picker.input, events.picked, [page.setup.picker], [*status, *page.setup.sampling])
    events.presets.wire()
    events.revise.wire(served, {PANE: page.revise}, page.edit, shown, whole)
    wire_export(page.files, events.store.conversations, shown)
    ListEvents(page.conversations, events.store, events.show).wire(served, whole)
    boxes = [composer.question, composer.context]
    given = {*boxes, shown, page.attached, *page.setup.all}
    sent = [*asked, composer.asked]
    asking = [composer.question.submit, composer.send.click]
    files = f"Object.assign(given, {{{ordered(given).index(page.attached)}: window.kodolly.attached()}})"
    begun = served.on("chat-begin", asking, events.begin, given, sent, given=files, draws=True)
    clear_composer(begun, composer)
    on(begun.then, None, [composer.asked], [], js="(asked) => window.kodolly.attachedSent(asked?.files)")
    served.on("chat-retry", page.retry.click, events.retry, {shown, *page.setup.all}, asked, draws=True)
    ending = page.settled.click
    settled = served.on("chat-settle", ending, events.settle, [shown], asked, again=True, draws=True)
    served.on("chat-look", settled.then, events.refresh, lists, refreshed, quiet=True)
    served.on("chat-stop", composer.stop.click, events.stop, [shown], asked)
    taken = [*asked, *boxes, page.returned]
    undone = served.on("chat-undo", page.undo.click, events.undo, [shown, *boxes], taken, draws=True)
    on(undone.then, None, [page.returned], [], js="(files) => window.kodolly.attachedAgain(files)")
    served.on("chat-new", page.new.click, events.new, [], asked, draws=True)
