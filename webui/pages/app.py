"""All pages as one Gradio app, with their language table, theme and style sheet."""

from importlib.resources import files

import gradio as gr
from fastapi import FastAPI

from webui.answering import Answering
from webui.gateway_client import GatewayClient
from webui.pages.chat.events import ChatEvents
from webui.pages.chat.layout import build_chat
from webui.pages.chat.wiring import wire_chat
from webui.pages.compare.events import CompareEvents
from webui.pages.compare.layout import build_compare
from webui.pages.compare.wiring import wire_compare
from webui.pages.documents.page import build_documents
from webui.pages.documents.page import style as documents_style
from webui.pages.models import build_models
from webui.pages.page_events import PageEvents
from webui.pages.results.page import build_results
from webui.pages.stateless import StatelessBlocks, forget_pages
from webui.status_cache import POLL_S, StatusCache
from webui.store.page_store import PageStore
from webui.texts import STATIC

# What Korean desktops and phones have; nothing is downloaded.
FONTS = ["Pretendard", "Noto Sans KR", "Apple SD Gothic Neo", "Malgun Gothic", "NanumGothic", "Nanum Gothic"]
MONO = ["D2Coding", "NanumGothicCoding", "ui-monospace", "Menlo", "Consolas", "monospace"]

QUEUE_REST_S = 1.0

SHOW_LINK = "\n.kd-header nav .kd-{} {{ display: inline-flex; }}\n"


def build_pages(
    gateway_url: str,
    client: GatewayClient,
    cache: StatusCache,
    store: PageStore,
    answering: Answering,
    served: PageEvents,
    *,
    training: bool = False,
    texts: bool = False,
) -> StatelessBlocks:
    """Compare at `/`, chat at `/chat`, results at `/results`, documents at
    `/documents`, models at `/models`. `served` gets the events that the web UI's own route answers.
    `training`: whether rows for a training can be made here."""
    t = page_i18n()
    demo: StatelessBlocks
    with StatelessBlocks(title="kodolly", analytics_enabled=False, fill_width=True) as demo:
        page = build_compare(t, POLL_S)
        wire_compare(demo, page, CompareEvents(page, store, cache, answering), client, served)
    with demo.route("채팅 Chat", "/chat", show_in_navbar=False):
        wire_chat(demo, ChatEvents(build_chat(t, POLL_S), store, cache, answering), served)
    with demo.route("결과 Results", "/results", show_in_navbar=False):
        build_results(demo, client, training=training, texts=texts)
    with demo.route("문서 Documents", "/documents", show_in_navbar=False):
        build_documents(demo)
    with demo.route("모델 Models", "/models", show_in_navbar=False):
        build_models(demo, t, cache, gateway_url, POLL_S)
    # Nothing goes through Gradio's queue (`parts.on`), which otherwise looks a thousand times a second for
    # events, and a hundred times for their progress.
    demo._queue.sleep_when_free = demo._queue.progress_update_sleep_when_free = QUEUE_REST_S
    return demo


def mount_pages(app: FastAPI, demo: StatelessBlocks, head: str, *, links: tuple[str, ...] = ()) -> None:
    """Put the pages at `/` of `app`, with everything switched off that would leave this machine. `links`:
    which of account and admin the header has. `head` stands in the head of each page."""
    gr.mount_gradio_app(
        app,
        demo,
        path="/",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        max_file_size="1b",  # no component of Gradio's takes a file here
        i18n=page_i18n(),
        theme=page_theme(),
        css=page_style() + "".join(SHOW_LINK.format(link) for link in links),
        head=head,
    )
    forget_pages(app, demo)


def page_i18n() -> gr.I18n:
    """The static texts for the browser to choose from."""
    return gr.I18n(
        ko={key: korean for key, (korean, _) in STATIC.items()},
        en={key: english for key, (_, english) in STATIC.items()},
    )


def page_theme() -> gr.themes.Base:
    """Calm and legible: system fonts, one accent, small radii."""
    theme = gr.themes.Default(
        primary_hue="teal",
        secondary_hue="slate",
        neutral_hue="slate",
        radius_size="md",
        text_size="md",
        font=[*FONTS, "system-ui", "sans-serif"],
        font_mono=MONO,
    )
    # Gradio's own shades of these three are too pale to read on white (WCAG AA asks for 4.5:1).
    return theme.set(
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


def page_style() -> str:
    """The style sheets."""
    own = [
        files("webui") / "style.css",
        files("webui.pages") / "shortcuts.css",
        files("webui.pages") / "history.css",
        files("webui.files") / "files.css",
        files("webui.opinions") / "opinions.css",
    ]
    return "".join(sheet.read_text(encoding="utf-8") for sheet in own) + documents_style()
