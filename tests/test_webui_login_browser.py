"""Logging in and looking after keys as people do it, in Chromium, on a wide and on a narrow window."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.accessibility import violations
from tests.support.engine_script import Script
from tests.support.hostile_words import NAME
from tests.support.processes import free_port, running, wait_for
from tests.support.stack_in_process import InProcess, engine, in_process
from tests.support.webui_driver import TIMEOUT_MS, WebUi
from tests.support.webui_stage import webui_command

pytestmark = pytest.mark.slow

AS_ADMIN = {"authorization": "Bearer admin-token"}


@dataclass(frozen=True)
class House:
    url: str
    stack: InProcess
    script: Script
    """How the model answers."""
    admin_key: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cwd = tmp_path_factory.mktemp("house")
    with ExitStack() as open_parts:
        script = Script("dolly", "")
        static = (f"dolly={open_parts.enter_context(engine(script))}",)
        stack = open_parts.enter_context(in_process(cwd, admin_token="admin-token", static=static))
        asked = {"name": "살림꾼", "admin": True}
        key = stack.post("/admin/keys", asked, **AS_ADMIN).json()["secret"]
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        env = {"KODOLLY_API_KEY": key, "KODOLLY_WEBUI_LOGIN": "key", "KODOLLY_STATE_DIR": str(cwd / "page")}
        command = webui_command(port, stack.gateway)
        open_parts.enter_context(running(command, cwd / "webui.log", f"{url}/healthz", env))
        yield House(url, stack, script, key)


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    fitting: bool = page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return fitting


@pytest.mark.parametrize(("locale", "width", "scheme"), [("ko-KR", 1440, "light"), ("en-US", 390, "dark")])
def test_log_in_make_a_key_and_leave(
    house: House, browser: Browser, locale: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        locale=locale,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{house.url}/models")
    assert "/login?next=%2Fmodels" in page.url
    assert violations(page) == []
    page.locator("#key").fill("sk-kodolly-wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert fits(page)
    page.locator("#key").fill(house.admin_key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{house.url}/models")
    page.locator("#nav-account").click()
    expect(page.locator("main strong")).to_have_text("살림꾼")
    assert violations(page) == []
    page.locator("#to-admin").click()
    name = f"새 사람 {width} {NAME}"
    page.locator("#new-name").fill(name)
    page.locator("#new-name").press("Enter")
    secret = page.locator("#secret").input_value()
    assert fits(page)

    def taken() -> bool:
        own = {"authorization": f"Bearer {secret}"}
        return httpx2.get(f"{house.stack.gateway}/v1/key", headers=own, trust_env=False).status_code == 200

    wait_for(taken, 60, what="the new key")
    card = page.locator("details", has_text=name)
    card.locator("summary").click()
    card.get_by_role("checkbox").check()
    card.locator("button.danger").click()
    expect(page.locator("details", has_text=name).locator(".chip.revoked")).to_be_visible()
    assert page.locator(".hostile").count() == 0
    card.locator("summary").click()
    assert violations(page) == []
    for address in page.locator("main > nav a").evaluate_all("links => links.map(link => link.href)"):
        page.goto(address)
        assert violations(page) == [], address
    page.goto(f"{house.url}/login")
    page.locator("form button").click()
    expect(page.locator("#key")).to_be_visible()
    page.goto(f"{house.url}/models")
    assert "/login" in page.url
    context.close()


def test_the_login_needs_no_script(house: House, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{house.url}/admin?by=day")
    page.locator("#key").fill(house.admin_key)
    page.locator("form button").click()
    page.wait_for_url(f"{house.url}/admin?by=day")
    expect(page.locator("details").first).to_be_visible()
    context.close()


def test_a_login_that_ends_in_mid_answer_leads_to_the_login_page_and_back(
    house: House, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.script, "mode", "stall_at_token:3")
    ui = WebUi(browser, house.url)
    page = ui.page
    page.goto(f"{house.url}/chat")
    page.locator("#key").fill(house.admin_key)
    page.keyboard.press("Enter")
    ui.element("chat-question").wait_for()
    ui.ask("질문", "chat")
    expect(ui.answer("chat")).to_contain_text("dolly-2")
    ui.element("chat-question").locator("textarea").fill("다음 질문")
    ui.context.clear_cookies()
    page.wait_for_url("**/login?next=*")
    page.locator("#key").fill(house.admin_key)
    page.keyboard.press("Enter")
    expect(ui.answer("chat")).to_contain_text("dolly-2")
    expect(ui.element("chat-question").locator("textarea")).to_have_value("다음 질문")
    ui.element("chat-stop").click()
    expect(ui.metrics("chat")).to_contain_text("중지함")
    ui.close()
