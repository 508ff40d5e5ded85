"""Logging in at an OpenID Connect provider: what is taken from it, and what is not."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import ValidationError

from tests.support.oidc_provider import CLIENT, SECRET, ScriptedProvider, scripted_provider
from tests.support.page_app import made_app
from webui.login.oidc.roles import Roles
from webui.settings import WebuiSettings

HERE = "http://127.0.0.1:7860"
PAGE = {"accept": "text/html", "accept-language": "ko-KR"}


IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
"""The app and what asks it."""


@pytest.fixture(scope="module")
def running_provider() -> Iterator[ScriptedProvider]:
    with scripted_provider() as made:
        yield made


@pytest.fixture
def provider(running_provider: ScriptedProvider) -> ScriptedProvider:
    """As it is at first."""
    vars(running_provider).update(vars(ScriptedProvider(running_provider.issuer, key=running_provider.key)))
    return running_provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(
    running_provider: ScriptedProvider, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FastAPI]:
    made = made_app(settings(running_provider, tmp_path_factory.mktemp("pages")))
    async with made.router.lifespan_context(made):
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def page(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at an address of its own."""
    transport = httpx2.ASGITransport(app, client=(str(uuid4()), 1))
    async with httpx2.AsyncClient(transport=transport, base_url=HERE) as made:
        yield made


def settings(provider: ScriptedProvider, state: Path, **more: Any) -> WebuiSettings:
    given = {
        "login": "oidc",
        "public_url": HERE,
        "login_issuer": provider.issuer,
        "login_client_id": CLIENT,
        "login_client_secret": SECRET,
        "login_members": "staff",
        "login_admins": "root",
        "login_raters": "judges",
        "state_dir": state,
        "gateway_url": "http://127.0.0.1:9",
    }
    return WebuiSettings.model_validate(given | more)


@asynccontextmanager
async def browser(provider: ScriptedProvider, state: Path, **more: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser before a web UI process of its own."""
    app = made_app(settings(provider, state, **more))
    async with app.router.lifespan_context(app):
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=HERE) as made:
            yield made


async def brought_back(page: httpx2.AsyncClient, provider: ScriptedProvider, wanted: str = "/models") -> Any:
    """The parameters with which the provider leads back."""
    begun = await page.get("/login/start", params={"next": wanted})
    assert begun.status_code == 303, begun.text
    return provider.sign_in(begun.headers["location"])


async def sign_in(page: httpx2.AsyncClient, provider: ScriptedProvider, wanted: str = "/models") -> Any:
    return await page.get("/login/oidc", params=await brought_back(page, provider, wanted), headers=PAGE)


async def test_sign_in_use_the_page_and_leave(provider: ScriptedProvider, tmp_path: Path) -> None:
    async with browser(provider, tmp_path) as page, browser(provider, tmp_path) as other_process:
        led = await page.get("/models", headers=PAGE)
        assert (led.status_code, led.headers["location"]) == (303, "/login?next=%2Fmodels")
        assert f"{HERE}/login/start?next=%2Fmodels" in (await page.get(led.headers["location"])).text
        told = await brought_back(page, provider)
        other_process.cookies = page.cookies  # any process goes on with it
        done = await other_process.get("/login/oidc", params=told, headers=PAGE)
        assert (done.status_code, done.headers["location"]) == (303, "/models")
        page.cookies = other_process.cookies
        assert "김하나" in (await page.get("/login", headers=PAGE)).text
        assert (await page.get("/models", headers=PAGE)).status_code == 200
        kept = dict(page.cookies)
        out = await page.post("/logout", files={"from": (None, "account")})
        assert f"{provider.issuer}/out?client_id={CLIENT}" in out.text
        gone = {"cookie": "; ".join(f"{name}={value}" for name, value in kept.items())}
        assert (await other_process.get("/config", headers=gone)).status_code == 401


@IN_ONE_LOOP
async def test_cookies_of_other_programs_at_this_host_keep_nobody_out(
    provider: ScriptedProvider, page: httpx2.AsyncClient
) -> None:
    told = await brought_back(page, provider)
    kept = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    page.cookies.clear()
    headers = PAGE | {"cookie": f'theme={{"mode":"dark"}}; {kept}'}
    done = await page.get("/login/oidc", params=told, headers=headers)
    assert (done.status_code, done.headers["location"]) == (303, "/models")


async def test_a_user_stays_the_same_and_has_the_role_that_the_settings_give_now(
    provider: ScriptedProvider, tmp_path: Path
) -> None:
    async with browser(provider, tmp_path) as page:
        provider.user = {"sub": "u2", "groups": ["root", "else"], "name": "<b>루트</b>"}
        assert (await sign_in(page, provider)).status_code == 303
        shown = (await page.get("/login", headers=PAGE)).text
        assert "관리자" in shown
        assert "<b>루트" not in shown
        cookies = page.cookies
    async with browser(provider, tmp_path, login_admins="", login_members="else") as page:
        page.cookies = cookies
        assert (await page.get("/config")).status_code == 401  # nothing that the settings name is left
        provider.user = {"sub": "u3", "groups": ["judges"]}
        assert (await sign_in(page, provider)).status_code == 303
        assert (await page.get("/config")).json()["error"]["code"] == "for_members"
    async with browser(provider, tmp_path, login_client_id="another") as page:
        page.cookies = cookies
        assert (await page.get("/config")).status_code == 401


@IN_ONE_LOOP
async def test_what_the_id_token_does_not_tell_the_provider_is_asked_for(
    provider: ScriptedProvider, page: httpx2.AsyncClient
) -> None:
    provider.told_by = "userinfo"
    assert (await sign_in(page, provider)).status_code == 303
    provider.change = {"sub": "somebody else"}
    assert (await sign_in(page, provider)).status_code == 403


NOT_FOR_THIS_SIGN_IN: list[dict[str, Any]] = [
    {"change": {"nonce": "another"}},
    {"change": {"nonce": None}},
    {"change": {"aud": "another"}},
    {"change": {"aud": [CLIENT, "another"]}},  # without azp
    {"change": {"aud": [CLIENT, "another"], "azp": "another"}},
    {"change": {"iss": "https://elsewhere.example"}},
    {"change": {"exp": int(time()) - 3600}},
    {"change": {"exp": None}},
    {"change": {"iat": int(time()) + 7200}},
    {"change": {"sub": None}},
    {"change": {"at_hash": "wrong"}},
    {"algorithm": "none"},
    {"algorithm": "HS256"},
    {"forged": True},
]


@IN_ONE_LOOP
async def test_an_id_token_that_is_not_for_this_sign_in_logs_nobody_in(
    provider: ScriptedProvider, page: httpx2.AsyncClient
) -> None:
    true = {"change": {}, "algorithm": "RS256", "forged": False}
    for false in NOT_FOR_THIS_SIGN_IN:
        vars(provider).update(true | false)
        refused = await sign_in(page, provider)
        assert (refused.status_code, "믿을 수 없어" in refused.text) == (403, True), false
        assert "kodolly-session" not in page.cookies
    vars(provider).update(true)
    assert (await sign_in(page, provider)).status_code == 303


@IN_ONE_LOOP
async def test_an_answer_that_this_browser_has_not_asked_for_is_refused(
    provider: ScriptedProvider, page: httpx2.AsyncClient
) -> None:
    told = await brought_back(page, provider)
    mine = page.cookies
    page.cookies = httpx2.Cookies()  # somebody else is led to the attacker's answer
    assert (await page.get("/login/oidc", params=told, headers=PAGE)).status_code == 400
    page.cookies = mine
    for state in ("", told["state"][:12] + "x" * 31, "a;b", "가" * 20, "x" * 5000):
        forged = await page.get("/login/oidc", params=told | {"state": state}, headers=PAGE)
        assert forged.status_code in (400, 431), state
    mixed = await page.get("/login/oidc", params=told | {"iss": "https://evil.example"}, headers=PAGE)
    assert mixed.status_code == 403
    told = await brought_back(page, provider)
    assert (await page.get("/login/oidc", params=told)).status_code == 303
    assert (await page.get("/login/oidc", params=told)).status_code == 400  # once


@IN_ONE_LOOP
async def test_nobody_is_led_to_another_site(provider: ScriptedProvider, page: httpx2.AsyncClient) -> None:
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:evil"):
        assert "evil" not in (await page.get("/login", params={"next": wanted})).text
        assert (await sign_in(page, provider, wanted)).headers["location"] == "/"
        page.cookies = httpx2.Cookies()


@IN_ONE_LOOP
async def test_what_the_provider_refuses_is_told_in_words(
    provider: ScriptedProvider, page: httpx2.AsyncClient
) -> None:
    told = await brought_back(page, provider) | {"error": "access_denied"}
    assert "취소" in (await page.get("/login/oidc", params=told, headers=PAGE)).text
    told = await brought_back(page, provider) | {"error": "<script>alert(1)</script>"}
    refused = await page.get("/login/oidc", params=told, headers=PAGE)
    assert (refused.status_code, "<script" in refused.text) == (502, False)
    provider.user = {"sub": "u4", "groups": ["strangers"]}
    assert "권한이 없습니다" in (await sign_in(page, provider)).text
    provider.broken = "refuses"
    assert (await sign_in(page, provider)).status_code == 502


async def test_a_provider_that_does_not_work_holds_nothing_up(
    provider: ScriptedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with browser(provider, tmp_path) as page:
        for broken, metadata, status in (
            ("hangs", {}, 503),
            ("elsewhere", {}, 502),
            ("", {"token_endpoint": "http://evil.example/token"}, 502),
            ("", {"jwks_uri": None}, 502),
        ):
            monkeypatch.setattr(
                "webui.login.oidc.provider.ANSWERS_WITHIN_S", 0.5 if broken == "hangs" else 10.0
            )
            provider.broken, provider.metadata = broken, metadata
            told = await page.get("/login/start", headers=PAGE)
            assert (told.status_code, 'role="alert"' in told.text) == (status, True), (broken, metadata)
            provider.released.set()
        provider.metadata = {}
        assert (await sign_in(page, provider)).status_code == 303


def test_an_address_counts_once_the_provider_has_verified_it() -> None:
    roles = Roles(
        ("email", "realm.roles", "https://a.b/c"), frozenset({"a@x.kr"}), frozenset(), frozenset("m")
    )
    assert roles.named({"email": "a@x.kr"}) == []
    assert roles.named({"email": "a@x.kr", "email_verified": True}) == ["a@x.kr"]
    assert roles.named({"realm": {"roles": ["m", 1, None]}, "https://a.b/c": "m"}) == ["m"]
    assert roles.named({"realm": "m"}) == []
    assert (roles.role(["a@x.kr", "m"]), roles.role(["m"]), roles.role([])) == ("admin", "member", None)


@pytest.mark.parametrize(
    "change",
    [
        {"login_issuer": None},
        {"login_issuer": "http://id.example.kr"},
        {"public_url": "http://chat.example.kr"},
        {"login_members": "", "login_admins": "", "login_raters": ""},
        {"login_scopes": "profile"},
    ],
)
def test_settings_that_would_let_anybody_in_do_not_start(
    provider: ScriptedProvider, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        settings(provider, tmp_path, **change)
