"""모델 / Models: what runs, and the lines to paste to use it."""

from typing import Any, Literal

import gradio as gr

from webui.choices import default_pair, model_ids
from webui.pages.parts import (
    Updates,
    header,
    lang_of,
    listed_models,
    model_picker,
    on,
    refresh_on_return,
    refresher,
    ticking,
)
from webui.render import banner, model_cards
from webui.snippets import SNIPPETS
from webui.status_cache import StatusCache


def build_models(demo: gr.Blocks, t: gr.I18n, cache: StatusCache, gateway_url: str, refresh_s: float) -> None:
    """Lay the page out and attach its listeners."""
    header("models")
    top = gr.HTML(elem_id="models-banner")
    cards = gr.HTML(elem_id="models-cards")
    with gr.Group(elem_classes="kd-setup"):
        picker = model_picker(t("snippet_model"), "models-model")
        with gr.Tabs():
            codes: dict[str, gr.Code] = {}
            for kind, snippet in SNIPPETS.items():
                with gr.Tab(t(kind)):
                    codes[kind] = _code(snippet.language, f"models-{kind.replace('_', '-')}")
    again, timer = refresher("models", refresh_s)
    model_list = listed_models()

    def snippets(model: str | None) -> Updates:
        name = model or "MODEL"
        return {code: SNIPPETS[kind].write(gateway_url, name) for kind, code in codes.items()}

    async def refresh(request: gr.Request, model: str | None, listed: list[str]) -> Updates:
        await cache.look()
        lang = lang_of(request)
        updates: Updates = {top: banner(cache, lang), cards: model_cards(cache, lang)}
        updates[timer] = ticking(cache, *[model.id for model in cache.models])
        if model is None:
            model = default_pair(cache.models, cache.providers)[1]
        names = model_ids(cache.models, model, *listed)
        if set(names) - set(listed):
            choices: list[Any] = [(name, name) for name in names]
            updates |= {picker: gr.update(choices=choices, value=model), model_list: names} | snippets(model)
        return updates

    async def picked(model: str | None) -> Updates:
        return snippets(model)

    everything = [top, cards, picker, model_list, *codes.values(), timer]
    refresh_on_return(demo, "models")
    for event in (demo.load, timer.tick, again.click):
        on(event, refresh, [picker, model_list], everything)
    on(picker.input, picked, [picker], list(codes.values()))


def _code(language: Literal["shell", "python"], elem_id: str) -> gr.Code:
    return gr.Code(language=language, show_label=False, interactive=False, wrap_lines=True, elem_id=elem_id)
