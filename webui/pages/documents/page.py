"""문서 / Documents: collections of papers, questions to them, and the pages that answers rest on.

Gradio gives the frame. What moves (uploads, answers, the opened page) is documents.js, which asks
/documents/api (webui/documents/routes.py) and writes texts as texts, never as HTML.
"""

import json
from importlib.resources import files

import gradio as gr

from webui.document_texts import PAGE
from webui.pages.parts import header, on

TEXTS = "/*texts*/ {}"
"""What documents.js has in the place of its sentences."""


def build_documents(demo: gr.Blocks) -> None:
    """Lay it out."""
    header("documents")
    gr.HTML(
        '<div id="kd-documents" class="kd-papers"></div>', elem_id="documents-body", elem_classes="kd-page"
    )
    on(demo.load, None, [], [], js=script())


def script() -> str:
    """A function for the browser."""
    texts = {lang: {key: pair[at] for key, pair in PAGE.items()} for at, lang in enumerate(("ko", "en"))}
    source = files("webui.pages.documents").joinpath("documents.js").read_text(encoding="utf-8")
    return source.replace(TEXTS, json.dumps(texts, ensure_ascii=False))


def style() -> str:
    """The style sheet of this page."""
    return files("webui.pages.documents").joinpath("documents.css").read_text(encoding="utf-8")
