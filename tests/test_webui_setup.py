"""What a browser sends as settings of a model: anything, as JSON has it."""

from typing import Any

import pytest

from common.feedback import Sampling
from tests.support.page_app import page_alone
from webui.choices import WORKER_SAMPLING
from webui.gateway_client import GatewayClient
from webui.status_cache import StatusCache


@pytest.mark.parametrize(
    "sent", ["", "한 줄", None, [], {}, float("nan"), 10**400], ids=lambda value: str(value)[:8]
)
async def test_nonsense_becomes_the_defaults(sent: Any) -> None:
    assert read(sent) == WORKER_SAMPLING


@pytest.mark.parametrize(("sent", "kept"), [(float("inf"), 32768), (-1e300, 1), ("7", 7)])
async def test_a_number_out_of_range_becomes_the_nearest(sent: Any, kept: int) -> None:
    assert read(sent).max_tokens == kept


def read(max_tokens: Any) -> Sampling:
    """The sampling of a page that sends this as the most tokens of an answer."""
    import gradio as gr

    from webui.pages.app import page_i18n
    from webui.pages.setup import setup_inputs

    with page_alone():
        inputs = setup_inputs(page_i18n(), "x", gr.Dropdown([]), gr.Accordion())
    values = dict.fromkeys(inputs.all, None) | {
        inputs.picker: "m",
        inputs.temperature: WORKER_SAMPLING.temperature,
        inputs.top_p: WORKER_SAMPLING.top_p,
        inputs.max_tokens: max_tokens,
    }
    found = inputs.read(values, StatusCache(GatewayClient("http://127.0.0.1:9")))
    assert found is not None
    return found.sampling
