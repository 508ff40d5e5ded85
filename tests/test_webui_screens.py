"""Results and the pages around it in a real browser, against a real gateway: one of each for all tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from tests.support.judged_world import fill
from tests.support.processes import free_port, running
from tests.support.stack_in_process import in_process
from tests.support.webui_driver import WebUi
from tests.support.webui_stage import chromium_or_skip, webui_command

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "locale": "en-US"}


@dataclass(frozen=True)
class House:
    """A gateway with votes, and the web UI in front of it."""

    gateway: str
    webui: str
    browser: Browser


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cwd = tmp_path_factory.mktemp("screens")
    with in_process(cwd) as stack, chromium_or_skip() as browser:
        fill(stack.gateway)
        port = free_port()
        url, environment = f"http://127.0.0.1:{port}", {"KODOLLY_STATE_DIR": str(cwd / "state")}
        command = webui_command(port, stack.gateway)
        with running(command, cwd / "webui.log", f"{url}/healthz", env=environment):
            yield House(stack.gateway, url, browser)


def test_results_lead_from_a_number_to_its_answers_and_to_a_file(house: House) -> None:
    ui = WebUi(house.browser, house.webui)
    ui.page.goto(f"{house.webui}/results")
    ui.page.get_by_role("link", name="dolly@0123456789ab의 투표 보기").click()
    expect(ui.page.locator("article")).to_have_count(6)
    ui.page.get_by_label("블라인드만").check()
    ui.page.get_by_role("button", name="적용").press("Enter")
    expect(ui.page.get_by_text("투표 11건")).to_be_visible()
    with ui.page.expect_download() as begun:
        ui.page.get_by_role("link", name="votes.csv").click()
    assert len(begun.value.path().read_text("utf-8-sig").splitlines()) == 12
    assert ui.page.evaluate("window.hurt") is None
    assert (ui.errors, ui.foreign, ui.nameless_buttons()) == ([], [], [])
    ui.close()


@pytest.mark.parametrize("path", ["/results?model=base"])
def test_no_screen_is_wider_than_a_phone(house: House, path: str) -> None:
    ui = WebUi(house.browser, house.webui, **PHONE)
    ui.page.goto(house.webui + path)
    ui.page.locator("h1").wait_for()
    assert ui.overflow_px() == 0
    assert (ui.errors, ui.foreign) == ([], [])
    ui.close()
