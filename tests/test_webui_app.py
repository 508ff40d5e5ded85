"""The web UI over HTTP, without a browser: the cookie that names one, and that no page holds a connection."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.page_app import made_app, page_client
from tests.support.page_events import values_of
from webui.session import COOKIE, token_in
from webui.settings import WebuiSettings

JSON = {"content-type": "application/json"}
UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with page_client(tmp_path) as made:
        yield made


async def test_a_browser_gets_one_secret_that_no_script_reads(client: httpx2.AsyncClient) -> None:
    first = await client.get("/chat")
    (given,) = first.headers.get_list("set-cookie")
    assert given.startswith(f"{COOKIE}=")
    assert "HttpOnly" in given
    assert "SameSite=Lax" in given
    assert "Secure" not in given  # this page was asked for by http
    assert "set-cookie" not in (await client.get("/")).headers
    assert "set-cookie" not in (await client.get("/healthz", headers={"cookie": ""})).headers


async def test_no_page_opens_the_connection_that_gradio_holds_for_ever(client: httpx2.AsyncClient) -> None:
    config = (await client.get("/config")).json()
    assert config["connect_heartbeat"] is False
    kinds = {component["type"] for component in config["components"]}
    assert "state" not in kinds
    assert "timer" in kinds


def gradio_app(folder: Path) -> Any:
    """The pages as they are mounted."""
    app = made_app(WebuiSettings(state_dir=folder, gateway_url="http://127.0.0.1:9"))
    mounted: list[Any] = [getattr(route, "app", None) for route in app.routes]
    (pages,) = [each for each in mounted if hasattr(each, "get_blocks")]
    return pages


async def test_nothing_of_an_open_page_is_kept(tmp_path: Path) -> None:
    pages = gradio_app(tmp_path)
    number, built = next(iter(pages.get_blocks().blocks.items()))
    of_one_page = pages.state_holder["one"]
    of_one_page[number] = "something that an event has changed"
    of_one_page._update_value_in_config(number, "what was typed")
    assert pages.state_holder["one"][number] is pages.state_holder["another"][number] is built
    assert "what was typed" not in str(of_one_page.config_values[number])
    assert (len(pages.state_holder.session_data), "one" in pages.state_holder) == (0, False)


async def test_an_event_is_not_summed_up_with_the_ten_thousand_before_it(tmp_path: Path) -> None:
    queue = gradio_app(tmp_path).get_blocks()._queue
    queue.events_recorded = 10_000
    records = [{"function": "begin", "status": "success", "process_time": 1.0}]
    assert queue.compute_analytics_summary(records) == {"functions": {}}


@pytest.mark.parametrize("cookies", [None, "", "a=b", f"{COOKIE}=short", f"{COOKIE}={'x' * 200}", "\x00;=;"])
def test_a_strange_cookie_is_no_browser(cookies: str | None) -> None:
    assert token_in(cookies) is None
    assert token_in(f"a=b; {COOKIE}={'x' * 32}; c=d") == "x" * 32


@pytest.mark.parametrize(
    "other", ['theme={"mode":"dark"}', "user=\xea\xb9\x80", "a b=c", "flag", '="', "$Path=/"]
)
def test_cookies_of_other_programs_at_this_host_hide_none_of_ours(other: str) -> None:
    assert token_in(f"{other}; {COOKIE}={'x' * 32}; {other}") == "x" * 32


async def press(client: httpx2.AsyncClient, button: str, typed: dict[str, Any]) -> httpx2.Response:
    """What a browser sends when a button is pressed, with `typed` in the boxes, by their ids."""
    config = (await client.get("/config")).json()
    parts = {component["id"]: component["props"] for component in config["components"]}
    named = {props.get("elem_id"): number for number, props in parts.items()}
    (pressed,) = [
        one
        for one in config["dependencies"]
        if one["backend_fn"] and [named[button], "click"] in [list(target) for target in one["targets"]]
    ]
    filled = [parts[at] for at in pressed["inputs"]]
    data = [typed.get(props.get("elem_id"), props.get("value")) for props in filled]
    event = {"data": data, "fn_index": pressed["id"], "session_hash": "abc", "event_data": None}
    return await client.post("/gradio_api/run/predict", content=json.dumps(event), headers=JSON)


async def test_a_question_may_hold_half_a_character(client: httpx2.AsyncClient) -> None:
    """Browsers send one, where an emoji was cut in two, and no database takes it."""
    await client.get("/chat")
    typed = {"chat-question": "반쪽 \ud83d 글", "chat-model": "dolly"}
    content = json.dumps(values_of((await client.get("/config")).json(), "chat-begin", typed))
    answer = await client.post("/page/events/chat-begin", content=content, headers=JSON)
    assert answer.status_code == 200
    assert "반쪽 \ufffd 글" in answer.text


async def test_settings_are_saved_also_where_a_number_was_emptied(client: httpx2.AsyncClient) -> None:
    await client.get("/chat")
    answer = await press(client, "chat-preset-save", {"chat-preset-name": "빈 칸", "chat-max-tokens": None})
    assert answer.status_code == 200
    assert "빈 칸" in answer.text


@pytest.mark.parametrize(
    ("event", "body"),
    [
        ("chat-begin", b"[1, 2]"),
        ("chat-begin", b"{}"),
        ("chat-begin", b"[" * 10_000),
        ("chat-begin", b"\xff"),
        ("no-event", b"[]"),
    ],
)
async def test_an_event_of_no_page_of_ours_is_refused(
    client: httpx2.AsyncClient, event: str, body: bytes
) -> None:
    await client.get("/chat")
    answer = await client.post(f"/page/events/{event}", content=body, headers=JSON)
    assert answer.status_code == 400


async def test_an_event_without_a_cookie_changes_nothing_and_says_so(client: httpx2.AsyncClient) -> None:
    typed = values_of(
        (await client.get("/config")).json(), "chat-begin", {"chat-question": "a", "chat-model": "m"}
    )
    answer = await client.post("/page/events/chat-begin", json=typed, headers={"cookie": ""})
    assert (answer.status_code, answer.json()) == (200, [])
    assert "kodolly-notice" in answer.headers


EVENTS = {
    "chat": ("load", "begin", "edit", "settle", "stop", "retry", "older", "newer", "proceed"),
    "compare": ("load", "begin", "edit", "settle", "stop"),
    "left": ("retry", "older", "newer", "proceed"),
    "fourth": ("retry", "older", "newer", "proceed"),
}


async def test_a_conversation_of_another_page_ends_no_event(client: httpx2.AsyncClient) -> None:
    """Its id may come from an address that somebody has put together, and it has other panes."""
    await client.get("/chat")
    config = (await client.get("/config")).json()
    typed: dict[str, object] = {f"{pane}-model": "m" for pane in ("chat", "left", "right")}

    async def happened(name: str, shown: str = "") -> str:
        page = "chat" if name.startswith("chat") else "compare"
        boxes = typed | {f"{page}-question": "무엇?", f"{page}-conversation": shown}
        given = values_of(config, name, boxes)
        answer = await client.post(f"/page/events/{name}", params={"c": shown}, json=given)
        assert answer.status_code == 200, name
        return answer.text

    ids = {}
    for page in ("compare", "chat"):
        (ids[page], *_) = UUIDS.findall(await happened(f"{page}-begin"))
    for part, events in EVENTS.items():
        other = ids["compare" if part == "chat" else "chat"]
        for event in events:
            assert other not in await happened(f"{part}-{event}", other), (part, event)


@pytest.mark.parametrize("event", ["chat-begin", "chat-refresh", "chat-retry", "chat-stop"])
async def test_an_event_with_values_of_other_kinds_breaks_nothing(
    client: httpx2.AsyncClient, event: str
) -> None:
    await client.get("/chat")
    given = values_of((await client.get("/config")).json(), event, {})
    for at in range(len(given)):
        for value in (7, True, ["a"], {"a": 1}, 1e308, "가" * 5000, None):
            changed = [*given[:at], value, *given[at + 1 :]]
            answer = await client.post(f"/page/events/{event}", json=changed)
            assert answer.status_code in (200, 400), answer.text
