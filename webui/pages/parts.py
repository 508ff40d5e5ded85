"""Pieces that all pages are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from common.feedback import Sampling
from webui.choices import WORKER_SAMPLING, default_sampling
from webui.conversation import QUESTION_CHARACTERS, Setup, Side
from webui.status_cache import StatusCache
from webui.texts import Lang, language

# Up to this many answers stream at once in one listener; Gradio's default of 1 would make panes take turns.
STREAMS = 256

# Fixed, so that a conversation outlives a restart. It hides nothing from the browser's owner.
STORAGE_SECRET = "kodolly-page-1"

Updates = dict[Any, Any]

MATHS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
    {"left": "$", "right": "$", "display": False},
]
"""How models mark formulas."""


def model_picker(label: Any, elem_id: str) -> gr.Dropdown:
    """A dropdown of model names. Its value may be older than its list, e.g. after a restart of this
    process: the gateway, not the list, says what exists."""
    picker = gr.Dropdown([], label=label, filterable=False, elem_id=elem_id)
    picker.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return picker


def on(
    events: Any, fn: Callable[..., Any] | None, inputs: Sequence[Any], outputs: Sequence[Any], **options: Any
) -> Any:
    """Attach a listener that is no public API endpoint, draws no spinner and runs many at once."""
    options = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": STREAMS} | options
    if isinstance(events, list):
        return gr.on(events, fn, list(inputs), list(outputs), **options)
    return events(fn, list(inputs), list(outputs), **options)


def lang_of(request: gr.Request) -> Lang:
    """The language of whoever sent this request."""
    return language(request.headers.get("accept-language"))


def header(page: str) -> gr.HTML:
    """Name and links. Both languages are in it; the style sheet shows the one of the page."""
    links = ""
    for name, path, korean, english in (
        ("compare", "./", "비교", "Compare"),
        ("chat", "./chat", "채팅", "Chat"),
        ("models", "./models", "모델", "Models"),
    ):
        current = ' aria-current="page"' if name == page else ""
        links += f'<a id="nav-{name}" href="{path}"{current}>{both(korean, english)}</a>'
    brand = '<a class="kd-brand" href="./">kodolly<span lang="ko">코돌리</span></a>'
    return gr.HTML(f'<header class="kd-header">{brand}<nav>{links}</nav></header>', elem_id=f"{page}-header")


def both(korean: str, english: str) -> str:
    """Static HTML in both languages."""
    return f'<span class="kd-ko">{korean}</span><span class="kd-en">{english}</span>'


def setup_of(values: Sequence[Any], cache: StatusCache) -> Setup | None:
    """What model, system prompt, temperature, top-p and max tokens are set to; None without a model.

    Values come from the browser: numbers out of range become the defaults.
    """
    model, system, temperature, top_p, max_tokens = values
    if not model:
        return None
    known = cache.find(str(model))
    external = known is not None and known.kind == "external"
    try:
        sampling = Sampling(
            temperature=min(max(float(temperature), 0.0), 2.0),
            top_p=min(max(float(top_p), 0.01), 1.0),
            max_tokens=min(max(int(max_tokens), 1), 32768),
        )
    except (TypeError, ValueError):
        sampling = default_sampling(known)
    return Setup(
        model=str(model), external=external, system=str(system or "")[:QUESTION_CHARACTERS], sampling=sampling
    )


def setup_values(setup: Setup) -> list[Any]:
    """The inverse of `setup_of`."""
    sampling = setup.sampling
    return [setup.model, setup.system, sampling.temperature, sampling.top_p, sampling.max_tokens]


def settings_inputs(translate: gr.I18n, prefix: str) -> list[Any]:
    """System prompt, temperature, top-p and max tokens."""
    return [
        gr.Textbox(
            label=translate("system"),
            placeholder=translate("system_hint"),
            lines=2,
            max_lines=8,
            max_length=QUESTION_CHARACTERS,
            elem_id=f"{prefix}-system",
        ),
        gr.Slider(
            0,
            2,
            WORKER_SAMPLING.temperature,
            step=0.05,
            label=translate("temperature"),
            elem_id=f"{prefix}-temperature",
        ),
        gr.Slider(
            0.05, 1, WORKER_SAMPLING.top_p, step=0.05, label=translate("top_p"), elem_id=f"{prefix}-top-p"
        ),
        gr.Slider(
            16,
            4096,
            WORKER_SAMPLING.max_tokens,
            step=16,
            label=translate("max_tokens"),
            elem_id=f"{prefix}-max-tokens",
        ),
    ]


def chatbot(label: Any, elem_id: str, **options: Any) -> gr.Chatbot:
    """A conversation. Copy buttons only: sharing would send it to another site."""
    return gr.Chatbot(
        label=label,
        show_label=False,
        elem_id=elem_id,
        elem_classes="kd-chat",
        buttons=["copy"],
        feedback_options=None,
        sanitize_html=True,
        allow_file_downloads=False,
        layout="bubble",
        latex_delimiters=MATHS,
        placeholder=both("답변이 여기에 나타납니다", "The answer appears here"),
        **options,
    )


def composer(t: gr.I18n, page: str, hint: str) -> tuple[gr.Textbox, gr.Button, gr.Button]:
    """Question box, send and stop at the bottom of the window. Gradio's textbox is safe for Korean input
    methods: it sends on keypress, which is not fired while a syllable is composed."""
    with gr.Row(elem_classes="kd-composer", elem_id=f"{page}-composer"):
        question = gr.Textbox(
            label=t("question"),
            show_label=False,
            placeholder=t(hint),
            lines=1,
            max_lines=6,
            max_length=QUESTION_CHARACTERS,
            scale=8,
            container=False,
            autofocus=True,
            elem_id=f"{page}-question",
        )
        send = gr.Button(t("send"), variant="primary", scale=1, min_width=88, elem_id=f"{page}-send")
        stop = gr.Button(
            t("stop"), variant="stop", scale=1, min_width=88, visible=False, elem_id=f"{page}-stop"
        )
    return question, send, stop


def listed_models() -> gr.JSON:
    """What the pickers of a page list right now, kept by the page. `gr.State` would keep it on the server,
    and have each tab hold a connection for ever: browsers give a host six."""
    return gr.JSON([], visible="hidden")


def refresher(page: str, refresh_s: float) -> tuple[gr.Button, gr.Timer]:
    """What asks for the state of the models anew: a button that the browser presses when the page is looked
    at again, and a timer that runs only while something is about to change."""
    return gr.Button(visible="hidden", elem_id=f"{page}-refresh"), gr.Timer(refresh_s)


def refresh_on_return(demo: gr.Blocks, page: str) -> None:
    """Have the browser press the page's refresh button whenever the page comes back into sight."""
    script = f"""() => {{
      const press = () => document.hidden || document.querySelector('#{page}-refresh')?.click();
      document.addEventListener('visibilitychange', press);
      window.addEventListener('focus', press);
    }}"""
    on(demo.load, None, [], [], js=script)


def ticking(cache: StatusCache, *models: str | None) -> Any:
    """Goes on asking while the gateway is away or one of the chosen `models` starts, stops or answers."""
    return gr.update(active=not cache.settled(*models))


def note_answer(cache: StatusCache, side: Side) -> None:
    """Remember how the last answer of `side` ended, once it has."""
    if side.last is not None and side.last.state in ("done", "failed"):
        cache.note_answer(side.last.setup.model, side.last.failure.kind if side.last.failure else None)


def browser_state(name: str) -> gr.BrowserState:
    """Kept in the browser across reloads and restarts."""
    return gr.BrowserState(None, storage_key=f"kodolly-{name}", secret=STORAGE_SECRET)
