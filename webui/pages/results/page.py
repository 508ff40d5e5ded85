"""The page: everything it shows hangs on its address, so that a view can be kept, shared and gone back to."""

import gradio as gr

from webui.gateway_client import GatewayClient, GatewayError
from webui.pages.parts import Updates, header, lang_of, on
from webui.pages.results.judgements import judgement_cards
from webui.pages.results.tables import results_html
from webui.render import failure_card
from webui.results.figures import Query, read_figures
from webui.results.judged import shown
from webui.texts import text


def build_results(demo: gr.Blocks, client: GatewayClient, *, training: bool, texts: bool) -> None:
    """Lay it out. `training`: whether rows for a training can be made here; `texts`: whether what people
    wrote is shown."""
    header("results")
    body = gr.HTML(elem_id="results-body", elem_classes="kd-page")

    async def load(request: gr.Request) -> Updates:
        lang = lang_of(request)
        query = Query.of(dict(request.query_params))
        try:
            figures = await read_figures(client, query)
            single = await shown(client, query) if query.model and texts else []
        except GatewayError as error:
            title = f"<h1>{text(lang, 'results_title')}</h1>"
            return {body: title + failure_card(error.failure, lang, names_hidden=False)}
        one_by_one = judgement_cards(single, query, lang) if query.model and texts else ""
        page = results_html(figures, query, lang, training=training, texts=texts, one_by_one=one_by_one)
        return {body: page}

    on(demo.load, load, [], [body])
