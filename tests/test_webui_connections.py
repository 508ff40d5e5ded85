"""Many tabs of one browser: a browser gives a host six connections, and idle pages take none of them."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Request, expect

from tests.support.webui_driver import WebUi

pytestmark = pytest.mark.slow

TABS = 20


def test_twenty_tabs_load_and_hold_no_connection(new_ui: Callable[..., WebUi]) -> None:
    first = new_ui()
    open_requests: set[Request] = set()
    first.context.on("request", lambda request: open_requests.add(request))
    first.context.on("requestfinished", lambda request: open_requests.discard(request))
    first.context.on("requestfailed", lambda request: open_requests.discard(request))
    for number in range(TABS):
        ui = first if number == 0 else first.tab()
        ui.open(("/", "/chat", "/models")[number % 3])
    first.page.wait_for_function("document.readyState === 'complete'")
    assert [request.url for request in open_requests if "heartbeat" in request.url] == []
    ui.open("/chat")
    ui.pick("short", "chat")
    ui.ask("스무째 탭", "chat")
    expect(ui.answer("chat")).to_contain_text("short#19")
