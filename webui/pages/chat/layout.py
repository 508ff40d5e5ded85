"""채팅 / Chat: what stands on the page. What happens on it is in `events`."""

from dataclasses import dataclass

import gradio as gr

from webui.pages.conversation_list import ConversationList, conversation_list
from webui.pages.export_buttons import ExportButtons, export_buttons
from webui.pages.parts import (
    Composer,
    asking_area,
    composer,
    conversation_pane,
    header,
    listed_models,
    model_picker,
    refresher,
    settled_button,
    shown_conversation,
)
from webui.pages.revise import QuestionEdit, ReviseButtons, edit_parts, revise_buttons
from webui.pages.setup import SetupInputs, setup_inputs
from webui.pages.takeover import old_states

PANE = "chat"
"""The one pane of a chat."""


@dataclass(frozen=True)
class ChatPage:
    """Everything that listeners of the page read or change."""

    banner: gr.HTML
    setup: SetupInputs
    chip: gr.HTML
    conversations: ConversationList
    new: gr.Button
    chat: gr.HTML
    settled: gr.Button
    files: ExportButtons
    retry: gr.Button
    undo: gr.Button
    revise: ReviseButtons
    edit: QuestionEdit
    composer: Composer
    attached: gr.JSON
    """Ids of the files that go along with a question; the script keeps them. No list while one is coming."""
    returned: gr.JSON
    """Files of a question that was taken back into the box."""
    refresh: gr.Button
    timer: gr.Timer
    old: gr.BrowserState
    """Chats of an earlier version."""
    model_list: gr.JSON


def build_chat(t: gr.I18n, refresh_s: float) -> ChatPage:
    """Lay the page out."""
    header("chat")
    banner = gr.HTML(elem_id="chat-banner")
    with gr.Row(elem_classes="kd-chat-page"):
        new, conversations, files = _beside(t)
        with gr.Column(scale=4, min_width=320):
            with gr.Group(elem_classes="kd-setup"):
                picker = model_picker(t("model"), "chat-model")
                accordion = gr.Accordion(t("settings"), open=False, elem_id="chat-settings")
                setup = setup_inputs(t, "chat", picker, accordion)
            chip = gr.HTML(elem_id="chat-state", elem_classes="kd-state")
            chat = conversation_pane("chat", "chat")
            retry, undo, revise = _actions(t)
            with asking_area():
                asking = composer(t, "chat", "chat_hint", attach=True)
    refresh, timer = refresher("chat", refresh_s)
    return ChatPage(
        banner=banner,
        setup=setup,
        chip=chip,
        conversations=conversations,
        new=new,
        chat=chat,
        files=files,
        settled=settled_button("chat"),
        retry=retry,
        undo=undo,
        revise=revise,
        edit=edit_parts("chat"),
        composer=asking,
        attached=gr.JSON(None, visible="hidden"),
        returned=gr.JSON(None, visible="hidden"),
        refresh=refresh,
        timer=timer,
        old=old_states("chat")[0],
        model_list=listed_models(),
    )


def _beside(t: gr.I18n) -> tuple[gr.Button, ConversationList, ExportButtons]:
    with gr.Column(scale=1, min_width=240, elem_classes="kd-side"):
        new = gr.Button(t("new_chat"), size="sm", elem_id="chat-new")
        conversations = conversation_list(t, "chat", shown_conversation("chat"))
        with gr.Row(elem_classes="kd-actions"):
            files = export_buttons(t, "chat", visible=False)
    return new, conversations, files


def _actions(t: gr.I18n) -> tuple[gr.Button, gr.Button, ReviseButtons]:
    with gr.Row(elem_classes="kd-actions"):
        retry = gr.Button(t("retry"), size="sm", visible=False, elem_id="chat-retry")
        undo = gr.Button(t("undo"), size="sm", visible=False, elem_id="chat-undo")
        revise = revise_buttons(t, PANE)
    return retry, undo, revise
