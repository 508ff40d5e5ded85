"""Logging in to the pages with a key of the gateway: real gateway, page app, no browser."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from common.feedback import Sampling
from common.registry import ModelCard
from tests.support.page_app import made_app
from tests.support.page_events import values_of
from tests.support.processes import PATIENCE_S
from tests.support.stack_in_process import InProcess, in_process
from webui.conversation import Setup
from webui.gateway_client import GatewayClient
from webui.login.failures_limit import MOST_FAILURES, WITHIN_S, FailuresLimit
from webui.login.key_halves import KEY_BYTES, cut, joined
from webui.login.key_login import KeyLogin
from webui.login.session_cookie import COOKIE
from webui.login.visitor import visitor_key
from webui.settings import WebuiSettings
from webui.store.page_store import PageStore

ADMIN = "admin-token"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
PAGE = {"accept": "text/html", "accept-language": "ko-KR"}


@dataclass(frozen=True)
class House:
    stack: InProcess
    page_key: str

    def key(self, name: str, **limits: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.stack.post("/admin/keys", {"name": name} | limits, **AS_ADMIN).json()
        assert self.status(made["secret"]) == 200
        return made

    def revoke(self, made: dict[str, Any]) -> None:
        url = f"{self.stack.gateway}/admin/keys/{made['id']}"
        httpx2.delete(url, headers=AS_ADMIN, trust_env=False).raise_for_status()
        assert self.status(made["secret"]) == 401

    def status(self, secret: str) -> int:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return httpx2.get(f"{self.stack.gateway}/v1/key", headers=headers, trust_env=False).status_code


IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
"""The app and what asks it."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with in_process(tmp_path_factory.mktemp("login"), admin_token=ADMIN) as stack:
        stack.worker("w", ModelCard(name="dolly", licence="Apache-2.0"))
        made = stack.post("/admin/keys", {"name": "page"}, **AS_ADMIN).json()
        house = House(stack, made["secret"])
        assert house.status("") == 401
        yield house


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(house: House, state: Path) -> AsyncIterator[FastAPI]:
    given = {"state_dir": state, "gateway_url": house.stack.gateway, "api_key": house.page_key}
    made = made_app(WebuiSettings.model_validate({"login": "key"} | given))
    async with made.router.lifespan_context(made):
        yield made


def browser(app: FastAPI) -> httpx2.AsyncClient:
    """One with an address of its own, so that its failures are not another's."""
    transport = httpx2.ASGITransport(app, client=(str(uuid4()), 1))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860")


@pytest_asyncio.fixture(loop_scope="module")
async def page(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser(app) as made:
        yield made


@asynccontextmanager
async def another_process(house: House, state: Path) -> AsyncIterator[KeyLogin]:
    """The login of another page process on the same database."""
    store, gateway = (
        PageStore(f"sqlite:///{state / 'webui.db'}"),
        GatewayClient(house.stack.gateway, key=visitor_key),
    )
    try:
        yield KeyLogin(gateway, store.sessions)
    finally:
        await store.close()
        await gateway.aclose()


@IN_ONE_LOOP
async def test_a_shared_conversation_is_for_those_who_have_logged_in(
    page: httpx2.AsyncClient, house: House, state: Path
) -> None:
    store = PageStore(f"sqlite:///{state / 'webui.db'}")
    setup = Setup(model="dolly", sampling=Sampling(temperature=0.2, top_p=1.0, max_tokens=8))
    found = await store.conversations.ask("anna", "chat", None, "나눌 질문", {"chat": setup})
    word = await store.shares.share("anna", found.id)
    await store.close()
    refused = await page.get(f"/shared/{word}", headers=PAGE)
    assert (refused.status_code, refused.headers["location"]) == (303, f"/login?next=%2Fshared%2F{word}")
    answer = await log_in(page, house.key("읽는 사람")["secret"], f"/shared/{word}")
    assert answer.headers["location"] == f"/shared/{word}"
    shown = await page.get(f"/shared/{word}", headers=PAGE)
    assert (shown.status_code, "나눌 질문" in shown.text) == (200, True)
    assert (await page.get("/shared/nothing", headers=PAGE)).status_code == 404


async def log_in(page: httpx2.AsyncClient, key: str, next: str = "/", **headers: str) -> httpx2.Response:
    """Send the form as a browser does."""
    fields = {"key": (None, key), "next": (None, next)}
    return await page.post("/login", files=fields, headers=PAGE | headers)


@IN_ONE_LOOP
async def test_nobody_comes_in_without_a_login(page: httpx2.AsyncClient) -> None:
    told = await page.get("/chat?c=1", headers=PAGE)
    assert (told.status_code, told.headers["location"]) == (303, "/login?next=%2Fchat%3Fc%3D1")
    for method, path in (
        ("GET", "/config"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/page/events/chat-begin"),
        ("GET", "/results/files/votes.csv"),
        ("GET", "/logout"),
        ("PUT", "/login"),
        ("GET", "/login/"),
        ("GET", "//login"),
    ):
        refused = await page.request(method, path)
        # The header leads a page's script to the login.
        assert (refused.status_code, refused.headers["kodolly-login"]) == (401, "/login"), path
    assert (await page.get("/healthz")).status_code == 200
    form = await page.get("/login?next=%2Fchat%3Fc%3D1", headers=PAGE)
    assert "게이트웨이 키" in form.text
    assert 'value="/chat?c=1"' in form.text
    assert "Gateway key" in (await page.get("/login", headers={"accept-language": "en"})).text


@IN_ONE_LOOP
async def test_a_key_opens_the_pages_and_lies_nowhere(
    house: House, page: httpx2.AsyncClient, state: Path
) -> None:
    made = house.key("김하나")
    told = await log_in(page, f" {made['secret']}\n", "/chat?c=1")
    assert (told.status_code, told.headers["location"]) == (303, "/chat?c=1")
    (cookie,) = told.headers.get_list("set-cookie")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Max-Age=", "Path=/"))
    assert made["secret"] not in cookie
    assert (await page.get("/config")).status_code == 200
    assert "김하나" in (await page.get("/login", headers=PAGE)).text
    kept = stored(state)
    assert b"webui_sessions" in kept
    assert made["secret"].encode() not in kept


def stored(state: Path) -> bytes:
    """All that the database's files hold; nobody else may read them."""
    assert (state / "webui.db").stat().st_mode & 0o077 == 0
    return b"".join(path.read_bytes() for path in state.glob("webui.db*"))


@IN_ONE_LOOP
async def test_a_session_holds_in_every_process_and_ends_at_the_logout(
    house: House, page: httpx2.AsyncClient, state: Path
) -> None:
    async with another_process(house, state) as other:
        begun = await other.begin(house.key("둘")["secret"])
    named = {"cookie": f'theme={{"mode":"dark"}}; {COOKIE}={begun.cookie}'}  # of another program here
    assert (await page.get("/config", headers=named)).status_code == 200
    left = await page.post("/logout", files={"from": (None, "x")}, headers=PAGE | named)
    assert (left.status_code, left.headers["location"]) == (303, "/login")
    assert f'{COOKIE}=""' in left.headers["set-cookie"]
    assert (await page.get("/config", headers=named)).status_code == 401


@IN_ONE_LOOP
async def test_an_admin_key_makes_an_administrator(house: House, page: httpx2.AsyncClient) -> None:
    await log_in(page, house.key("보통 사람")["secret"])
    assert (await page.get("/admin", headers=PAGE)).status_code == 403
    told = await page.post("/admin/keys", files={"name": (None, "몰래")}, headers=PAGE)
    assert told.status_code == 403
    await log_in(page, house.key("관리하는 사람", admin=True)["secret"])
    shown = await page.get("/admin", headers=PAGE)
    assert (shown.status_code, "보통 사람" in shown.text, "몰래" in shown.text) == (200, True, False)
    forged = {"origin": "http://evil.test"}
    told = await page.post("/admin/keys", files={"name": (None, "몰래")}, headers=PAGE | forged)
    assert told.status_code == 403


@IN_ONE_LOOP
async def test_a_revoked_key_ends_the_session_with_a_word(house: House, page: httpx2.AsyncClient) -> None:
    made = house.key("끝")
    await log_in(page, made["secret"])
    assert (await page.get("/", headers=PAGE)).status_code == 200
    house.revoke(made)
    assert (await page.get("/", headers=PAGE)).headers["location"].startswith("/login")
    assert "만료 또는 취소" in (await page.get("/login", headers=PAGE)).text
    assert (await page.get("/config")).status_code == 401


@IN_ONE_LOOP
async def test_a_page_that_stays_open_is_not_served_by_a_revoked_key(
    house: House, page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = house.key("열린 페이지", admin=True)
    await log_in(page, made["secret"])
    assert (await page.get("/study/api/studies")).json()["admin"]
    house.revoke(made)
    assert (await page.get("/study/api/studies")).status_code == 200
    monkeypatch.setattr("webui.login.key_login.ASKED_EVERY_S", 0.0)  # a minute later
    refused = await page.get("/study/api/studies")
    assert (refused.status_code, refused.headers["kodolly-login"]) == (401, "/login")


@pytest.mark.parametrize("key", ["", "sk-kodolly-wrong", "비밀", "a b", "x" * 300, "x\0y", "a\r\nb: c"])
@IN_ONE_LOOP
async def test_what_is_no_key_is_refused(page: httpx2.AsyncClient, key: str) -> None:
    told = await log_in(page, key)
    assert told.status_code == 401
    assert "받지 않습니다" in told.text
    assert "set-cookie" not in told.headers


@IN_ONE_LOOP
async def test_failures_are_held_up(house: House, page: httpx2.AsyncClient) -> None:
    for _ in range(MOST_FAILURES):
        assert (await log_in(page, "wrong")).status_code == 401
    held = await log_in(page, house.key("늦음")["secret"])
    assert held.status_code == 429
    assert 0 < int(held.headers["retry-after"]) <= WITHIN_S


def test_failures_are_forgotten_after_a_while() -> None:
    now = 0.0
    limit = FailuresLimit(lambda: now)
    for _ in range(MOST_FAILURES):
        assert limit.wait_s("a") == 0
        limit.failed("a")
    assert limit.wait_s("a") == WITHIN_S
    assert limit.wait_s("b") == 0
    now = WITHIN_S
    assert limit.wait_s("a") == 0


@IN_ONE_LOOP
async def test_no_other_site_logs_anybody_in_or_out(house: House, page: httpx2.AsyncClient) -> None:
    secret = house.key("남")["secret"]
    for headers in ({"origin": "http://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert (await log_in(page, secret, **headers)).status_code == 403
        told = await page.post("/logout", files={"from": (None, "x")}, headers=headers)
        assert told.status_code == 403
    assert (await page.post("/login", data={"key": secret})).status_code == 415


@pytest.mark.parametrize(
    "next", ["//evil.test", "https://evil.test", "/\\evil.test", "/a/../b", "javascript:x", "/%0d%0ax: y"]
)
@IN_ONE_LOOP
async def test_a_login_leads_to_no_other_site(house: House, page: httpx2.AsyncClient, next: str) -> None:
    told = await log_in(page, house.key("곳")["secret"], next)
    assert told.headers["location"] == "/"


@IN_ONE_LOOP
async def test_the_gateway_sees_each_users_own_key(house: House, page: httpx2.AsyncClient) -> None:
    mine = house.key("나")
    await log_in(page, mine["secret"])
    config = (await page.get("/config")).json()
    typed = values_of(config, "chat-begin", {"chat-question": "안녕?", "chat-model": "dolly"})
    assert (await page.post("/page/events/chat-begin", json=typed)).status_code == 200

    def used() -> list[dict[str, Any]]:
        asked = {"authorization": f"Bearer {mine['secret']}"}
        rows: list[dict[str, Any]] = house.stack.get("/v1/usage", **asked)["data"]
        return rows

    async with asyncio.timeout(PATIENCE_S):
        while not used():  # the answer is fetched in this very loop
            await asyncio.sleep(0.05)
    (row,) = used()
    assert row["model"] == "dolly"
    assert sum(row[outcome] for outcome in ("ok", "cancelled", "failed", "refused")) == 1


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=KEY_BYTES))
def test_two_halves_make_the_key(key: str) -> None:
    one, other = cut(key)
    assert joined(one, other) == key
    assert key.encode() not in one + other or len(key) < 3
    assert joined(one, other[:-1]) is None


def test_the_account_page_shows_hostile_names_as_text(house: House) -> None:
    from webui.login.login_page import account_html, login_html
    from webui.login.visitor import Visitor

    html = account_html("ko", Visitor("u", "<script>alert(1)</script>", admin=True, key="k"))
    assert "<script>" not in html
    assert "관리자" in html
    assert 'href="./admin"' in html
    assert "admin" not in account_html("ko", Visitor("u", "김", admin=False, key="k"))
    assert not re.search(r'value="[^"]*"[^ >]', login_html("en", '"><img src=x>'))
    assert "<img" not in login_html("en", '"><img src=x>')
