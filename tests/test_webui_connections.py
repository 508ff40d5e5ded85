"""Many tabs of one browser: a browser gives a host six connections, and idle pages take none of them."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Request, expect

from tests.support.webui_driver import WebUi
from tests.support.webui_stage import Stage, chromium_or_skip, fresh_pages, running_stage

pytestmark = pytest.mark.slow

TABS = 20


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_stage(tmp_path_factory.mktemp("tabs")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium_or_skip() as made:
        yield made


@pytest.fixture
def new_ui(browser: Browser, stage: Stage) -> Iterator[Callable[..., WebUi]]:
    with fresh_pages(browser, stage) as make:
        yield make


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
