"""채팅 / Chat: what stands on the page. What happens on it is in `events`."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.pages.parts import (
    browser_state,
    chatbot,
    composer,
    header,
    listed_models,
    model_picker,
    refresher,
    settings_inputs,
)


@dataclass(frozen=True)
class ChatPage:
    """Everything that listeners of the page read or change."""

    banner: gr.HTML
    setup: list[Any]
    """Picker, system prompt, temperature, top-p, max tokens."""
    chip: gr.HTML
    history: gr.Radio
    new: gr.Button
    delete: gr.Button
    chat: gr.Chatbot
    metrics: gr.HTML
    notice: gr.HTML
    retry: gr.Button
    undo: gr.Button
    question: gr.Textbox
    send: gr.Button
    stop: gr.Button
    refresh: gr.Button
    timer: gr.Timer
    store: gr.BrowserState
    model_list: gr.JSON

    @property
    def picker(self) -> Any:
        return self.setup[0]


def build_chat(t: gr.I18n, refresh_s: float) -> ChatPage:
    """Lay the page out."""
    header("chat")
    banner = gr.HTML(elem_id="chat-banner")
    with gr.Row(elem_classes="kd-chat-page"):
        with gr.Column(scale=1, min_width=240, elem_classes="kd-side"):
            new = gr.Button(t("new_chat"), size="sm", elem_id="chat-new")
            history = gr.Radio([], label=t("history"), visible=False, elem_id="chat-history")
            delete = gr.Button(t("delete_chat"), size="sm", visible=False, elem_id="chat-delete")
        with gr.Column(scale=4, min_width=320):
            with gr.Group(elem_classes="kd-setup"):
                picker = model_picker(t("model"), "chat-model")
                with gr.Accordion(t("settings"), open=False, elem_id="chat-settings"):
                    setup = [picker, *settings_inputs(t, "chat")]
            chip = gr.HTML(elem_id="chat-state", elem_classes="kd-state")
            chat = chatbot(t("conversation"), "chat-chat", height="54vh")
            metrics = gr.HTML(elem_id="chat-metrics", elem_classes="kd-metrics")
            notice = gr.HTML(elem_id="chat-notice")
            with gr.Row(elem_classes="kd-actions"):
                retry = gr.Button(t("retry"), size="sm", visible=False, elem_id="chat-retry")
                undo = gr.Button(t("undo"), size="sm", visible=False, elem_id="chat-undo")
            question, send, stop = composer(t, "chat", "chat_hint")
    refresh, timer = refresher("chat", refresh_s)
    store, model_list = browser_state("chat"), listed_models()
    return ChatPage(
        banner=banner,
        setup=setup,
        chip=chip,
        history=history,
        new=new,
        delete=delete,
        chat=chat,
        metrics=metrics,
        notice=notice,
        retry=retry,
        undo=undo,
        question=question,
        send=send,
        stop=stop,
        refresh=refresh,
        timer=timer,
        store=store,
        model_list=model_list,
    )
