"""A page of another site, in a real browser: it can't spend the gateway's key, nor read or write feedback,
nor use the web UI, by any of the ways in which browsers let pages ask other servers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.gateway_stack import gateway_stack
from tests.support.processes import free_port, running
from tests.support.programs import absent
from tests.support.quiet_handler import answering
from tests.support.webui_driver import CHROMIUM, CHROMIUM_ARGS, TIMEOUT_MS
from tests.support.webui_stage import webui_command

pytestmark = pytest.mark.slow

NAMES = "--host-resolver-rules=MAP *.test 127.0.0.1"
"""evil.test is another site; rebind.test is a name of it that has come to lead to this machine."""
RATING = "/v1/feedback/ratings/00000000-0000-4000-8000-000000000001"
CHAT = {"model": "outside", "messages": [{"role": "user", "content": "돈을 써라"}], "max_tokens": 5}


@dataclass(frozen=True)
class House:
    """What is attacked, and the page that attacks."""

    gateway: str
    webui: str
    provider: str
    evil: str

    def paid(self) -> int:
        """How often the provider was asked."""
        log = httpx2.get(f"{self.provider}/_script/log", trust_env=False).json()
        return sum("돈을" in request.get("body", "") for request in log["requests"])

    def under(self, name: str, url: str) -> str:
        """The same server under another name."""
        return f"http://{name}:{urlsplit(url).port}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    cwd = tmp_path_factory.mktemp("house")
    (cwd / "page").mkdir()
    (cwd / "page" / "index.html").write_text("<!doctype html><title>evil</title>", encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(cwd / "page"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    webui = f"http://127.0.0.1:{free_port()}"
    with answering(server), gateway_stack(cwd) as stack:
        command = webui_command(urlsplit(webui).port or 0, stack.gateway)
        env = {"KODOLLY_STATE_DIR": str(cwd / "state")}
        with running(command, cwd / "webui.log", f"{webui}/healthz", env):
            evil = f"http://evil.test:{server.server_address[1]}"
            yield House(stack.gateway, webui, stack.engines["outside"], evil)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        absent(CHROMIUM)
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=[*CHROMIUM_ARGS, NAMES])
        yield made
        made.close()


@pytest.fixture
def page(browser: Browser, house: House) -> Iterator[Page]:
    context = browser.new_context()
    made = context.new_page()
    made.set_default_timeout(TIMEOUT_MS)
    made.goto(house.evil)
    yield made
    context.close()


FETCH = """async ([url, options, untyped]) => {
    if (untyped) options.body = new Blob([options.body]);
    try {
        const answer = await fetch(url, options);
        return [answer.type, answer.status, answer.type === "opaque" ? "" : await answer.text()];
    } catch (error) { return ["refused", 0, ""]; }
}"""


def fetch(page: Page, url: str, untyped: bool = False, **options: Any) -> tuple[str, int, str]:
    """What a script on the page gets to see: type, status and text of the answer."""
    seen: list[Any] = page.evaluate(FETCH, [url, options, untyped])
    return seen[0], seen[1], seen[2]


def submit(page: Page, action: str, kind: str, fields: dict[str, str]) -> int:
    """Send a plain form, as a page without scripts can; the status that comes back."""
    inputs = "".join(f"<input name='{name}' value='{value}'>" for name, value in fields.items())
    page.set_content(
        f"<form method=post action='{action}' enctype='{kind}'>{inputs}<button>go</button></form>"
    )
    with page.expect_response(lambda response: response.url == action) as told:
        page.get_by_role("button").click()
    return told.value.status


def test_a_script_of_another_site_spends_nothing(page: Page, house: House) -> None:
    url, body = f"{house.gateway}/v1/chat/completions", json.dumps(CHAT)
    for untyped in (False, True):
        kind, _, text = fetch(page, url, untyped, method="POST", mode="no-cors", body=body)
        assert (kind, text) == ("opaque", "")  # the browser has sent it, and shows nothing of the answer
    typed = {"content-type": "application/json"}
    assert fetch(page, url, method="POST", headers=typed, body=body)[0] == "refused"
    assert house.paid() == 0


def test_a_plain_form_of_another_site_spends_nothing(page: Page, house: House) -> None:
    before, _, after = json.dumps(CHAT | {"x": "="}).partition("=")
    url = f"{house.gateway}/v1/chat/completions"
    assert submit(page, url, "text/plain", {before: after}) in (403, 415)
    assert house.paid() == 0


def test_feedback_is_neither_read_nor_written(page: Page, house: House) -> None:
    """Also not under a name of the attacker's that leads here (DNS rebinding)."""
    rating = json.dumps({"rating": 1, "model": "outside", "messages": []})
    for base in (house.gateway, house.under("rebind.test", house.gateway)):
        assert fetch(page, base + RATING, method="PUT", body=rating)[0] == "refused"
        assert fetch(page, f"{base}/v1/feedback/ratings")[0] == "refused"
    page.goto(f"{house.under('rebind.test', house.gateway)}/healthz")  # of the same origin from now on
    typed = {"content-type": "application/json"}
    asked: list[tuple[str, dict[str, Any]]] = [
        (RATING, {"method": "PUT", "headers": typed, "body": rating}),
        ("/v1/feedback/ratings", {}),
        ("/v1/usage", {}),
        ("/metrics", {}),
        ("/v1/chat/completions", {"method": "POST", "headers": typed, "body": json.dumps(CHAT)}),
    ]
    for path, options in asked:
        kind, status, text = fetch(page, path, **options)
        assert (kind, status, "host_not_allowed" in text) == ("basic", 403, True), path
    kept = httpx2.get(f"{house.gateway}/v1/feedback/ratings", trust_env=False).json()
    assert kept["data"] == []
    assert house.paid() == 0


def test_the_web_ui_answers_its_own_pages_alone(page: Page, house: House) -> None:
    upload = f"{house.webui}/gradio_api/upload"
    for path in ("gradio_api/run/predict", "page/events/chat-begin"):
        page.goto(house.evil)
        assert submit(page, f"{house.webui}/{path}", "text/plain", {"[": "]"}) == 403
    page.goto(house.evil)  # the answer to the form has made the page the web UI's
    assert submit(page, upload, "multipart/form-data", {"files": "안녕"}) == 403
    answer = page.goto(house.under("rebind.test", house.webui))
    assert answer is not None
    assert (answer.status, "host_not_allowed" in answer.text()) == (403, True)
    answer = page.goto(house.webui)  # a link from elsewhere, followed by a person
    assert answer is not None
    assert answer.status == 200
    form = {"files": ("a.txt", b"1234")}
    own = {"origin": house.webui}
    answers = {
        httpx2.post(upload, files=form, headers=headers, trust_env=False).status_code for headers in ({}, own)
    }
    assert answers == {413}  # of Gradio: nothing on these pages takes a file
