"""Whom a proxy names asks the gateway with a key of their own: real gateway, page app, no browser."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from common.registry import ModelCard
from tests.support.page_app import made_app
from tests.support.page_events import values_of
from tests.support.processes import PATIENCE_S
from tests.support.stack_in_process import InProcess, in_process
from webui.settings import WebuiSettings

ADMIN = "admin-token"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
"""The app and what asks it."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with in_process(tmp_path_factory.mktemp("user-keys"), admin_token=ADMIN) as made:
        made.worker("w", ModelCard(name="dolly", licence="Apache-2.0"))
        yield made


@pytest.fixture(scope="module", autouse=True)
def known_at_once() -> Iterator[None]:
    """There is one gateway, which knows what it has made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("webui.login.user_keys.IN_FORCE_S", 0.0)
        yield


@asynccontextmanager
async def page_with(stack: InProcess, state: Path, key: str) -> AsyncIterator[httpx2.AsyncClient]:
    """The pages, behind a proxy that names users, with this key of the gateway."""
    settings = {"login": "header", "login_proxies": "10.1.0.0/16", "login_admins": "root", "api_key": key}
    more = {"login_raters": "rita", "state_dir": state, "gateway_url": stack.gateway}
    app = made_app(WebuiSettings.model_validate(settings | more))
    transport = httpx2.ASGITransport(app, client=("10.1.2.3", 5000))
    async with app.router.lifespan_context(app):
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:7860") as page:
            yield page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(
    stack: InProcess, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx2.AsyncClient]:
    made = stack.post("/admin/keys", {"name": "page", "admin": True}, **AS_ADMIN).json()
    async with page_with(stack, tmp_path_factory.mktemp("pages"), made["secret"]) as page:
        yield page


def named(name: str) -> dict[str, str]:
    return {"remote-user": name}


def keys(stack: InProcess) -> dict[str, dict[str, Any]]:
    """By name, as administrators see them."""
    return {key["name"]: key for key in stack.get("/admin/keys", **AS_ADMIN)["data"]}


async def ask(page: httpx2.AsyncClient, name: str) -> None:
    """One question on the chat page."""
    config = (await page.get("/config", headers=named(name))).json()
    typed = values_of(config, "chat-begin", {"chat-question": "안녕?", "chat-model": "dolly"})
    sent = await page.post("/page/events/chat-begin", json=typed, headers=named(name))
    assert sent.status_code == 200


def asked(stack: InProcess, key_id: str) -> int:
    """How many requests of this key the ledger knows."""
    rows = stack.get("/admin/usage?by=key", **AS_ADMIN)["data"]
    outcomes = ("ok", "cancelled", "failed", "refused")
    return sum(row[outcome] for row in rows if row["key"] == key_id for outcome in outcomes)


@IN_ONE_LOOP
async def test_each_user_is_billed_by_a_key_of_their_own(stack: InProcess, page: httpx2.AsyncClient) -> None:
    await ask(page, "kim")
    await ask(page, "lee")
    await ask(page, "kim")
    made = keys(stack)
    async with asyncio.timeout(PATIENCE_S):
        while (asked(stack, made["kim"]["id"]), asked(stack, made["lee"]["id"])) != (2, 1):
            await asyncio.sleep(0.05)  # the answers are fetched in this very loop
    assert asked(stack, made["page"]["id"]) == 0
    assert (made["kim"]["admin"], made["kim"]["budget_tokens"]) == (False, None)


@IN_ONE_LOOP
async def test_administrators_of_the_settings_have_an_admin_key(
    stack: InProcess, page: httpx2.AsyncClient
) -> None:
    shown = await page.get("/admin", headers=named("root"))
    assert (shown.status_code, keys(stack)["root"]["admin"]) == (200, True)
    assert (await page.get("/admin", headers=named("kim"))).status_code == 403


@IN_ONE_LOOP
async def test_raters_need_no_key(stack: InProcess, page: httpx2.AsyncClient) -> None:
    assert (await page.get("/study/api/studies", headers=named("rita"))).status_code == 200
    assert "rita" not in keys(stack)


@IN_ONE_LOOP
async def test_whose_key_is_revoked_stays_out(
    stack: InProcess, page: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await page.get("/config", headers=named("gone"))).status_code == 200
    url = f"{stack.gateway}/admin/keys/{keys(stack)['gone']['id']}"
    httpx2.delete(url, headers=AS_ADMIN, trust_env=False).raise_for_status()
    monkeypatch.setattr("webui.login.user_keys.ASKED_EVERY_S", 0.0)  # a minute later
    refused = await page.get("/config", headers=named("gone"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "access_ended")
    told = await page.get("/", headers=named("gone") | {"accept": "text/html", "accept-language": "ko"})
    assert told.status_code == 403
    assert "취소되었거나 만료되어" in told.text
    assert (await page.get("/config", headers=named("kim"))).status_code == 200


@IN_ONE_LOOP
async def test_whose_key_has_expired_is_out_until_that_is_taken_back(
    stack: InProcess,
    page: httpx2.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert (await page.get("/config", headers=named("away"))).status_code == 200
    url = f"{stack.gateway}/admin/keys/{keys(stack)['away']['id']}"

    def set_expiry(expires: str | None) -> None:
        httpx2.patch(url, json={"expires": expires}, headers=AS_ADMIN, trust_env=False).raise_for_status()

    set_expiry("2026-01-01T00:00:00Z")
    monkeypatch.setattr("webui.login.user_keys.ASKED_EVERY_S", 0.0)  # a minute later
    monkeypatch.setattr("webui.login.user_keys.ASK_SOON_S", PATIENCE_S)
    caplog.set_level("INFO", "httpx2")
    told = [await page.get("/config", headers=named("away")) for _ in range(5)]
    assert {answer.status_code for answer in told} == {403}
    # Each makes all gateways read all keys anew.
    assert sum("PUT http" in line for line in caplog.messages) == 1
    set_expiry(None)
    soon = time.monotonic() + PATIENCE_S
    monkeypatch.setattr("webui.login.user_keys.time", SimpleNamespace(monotonic=lambda: soon))
    assert (await page.get("/config", headers=named("away"))).status_code == 200


@IN_ONE_LOOP
async def test_another_process_and_another_page_key_go_on_with_the_same_keys(
    stack: InProcess, page: httpx2.AsyncClient, tmp_path: Path
) -> None:
    await page.get("/config", headers=named("kim"))
    before = keys(stack)
    change = {"budget_tokens": 5_000}
    url = f"{stack.gateway}/admin/keys/{before['kim']['id']}"
    httpx2.patch(url, json=change, headers=AS_ADMIN, trust_env=False).raise_for_status()
    later = stack.post("/admin/keys", {"name": "later page", "admin": True}, **AS_ADMIN).json()
    async with page_with(stack, tmp_path, later["secret"]) as other:
        assert (await other.get("/config", headers=named("kim"))).status_code == 200
    assert keys(stack)["kim"]["id"] == before["kim"]["id"]
    assert keys(stack)["kim"]["budget_tokens"] == 5_000


@IN_ONE_LOOP
async def test_a_key_that_another_page_has_taken_over_is_asked_for_anew(
    stack: InProcess, page: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """As while several processes get another key of the page, one after the other."""
    assert (await page.get("/admin", headers=named("root"))).status_code == 200
    later = stack.post("/admin/keys", {"name": "rotated page", "admin": True}, **AS_ADMIN).json()
    async with page_with(stack, tmp_path, later["secret"]) as other:
        assert (await other.get("/admin", headers=named("root"))).status_code == 200
    told = [(await page.get("/admin", headers=named("root"))).status_code for _ in range(2)]
    assert told == [502, 200]


@IN_ONE_LOOP
async def test_a_page_without_an_admin_key_asks_for_all_with_its_own(
    stack: InProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = stack.post("/admin/keys", {"name": "plain page"}, **AS_ADMIN).json()
    async with page_with(stack, tmp_path, plain["secret"]) as page:
        await ask(page, "park")
        async with asyncio.timeout(PATIENCE_S):
            while asked(stack, plain["id"]) != 1:
                await asyncio.sleep(0.05)
    assert "park" not in keys(stack)
    assert [record.levelname for record in caplog.records if "keys update" in record.message] == ["WARNING"]


@pytest.mark.parametrize(
    ("key_id", "body"),
    [
        ("key_short", {"name": "x", "secret_sha256": "0" * 64}),
        ("key_" + "0" * 32, {"name": "x", "secret_sha256": "sk-kodolly-plain"}),
        ("key_" + "0" * 32, {"name": "", "secret_sha256": "0" * 64}),
    ],
)
def test_what_is_no_key_of_a_user_is_refused(stack: InProcess, key_id: str, body: dict[str, str]) -> None:
    url = f"{stack.gateway}/admin/keys/{key_id}"
    told = httpx2.put(url, json=body, headers=AS_ADMIN, trust_env=False)
    assert told.status_code == 400
    assert httpx2.put(url, json=body, trust_env=False).status_code == 401


def test_a_secret_opens_one_key(stack: InProcess) -> None:
    def put(key_id: str) -> int:
        body = {"name": "x", "secret_sha256": "1" * 64}
        url = f"{stack.gateway}/admin/keys/{key_id}"
        return httpx2.put(url, json=body, headers=AS_ADMIN, trust_env=False).status_code

    assert [put("key_" + "1" * 16), put("key_" + "1" * 16), put("key_" + "2" * 16)] == [200, 200, 409]
