"""A proxy in front names the user: its header is taken from it, and from nobody else."""

from ipaddress import ip_network

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.requests import Request

from common.errors import PermissionDenied
from tests.support.page_app import made_app
from webui.login.trusted_header import TrustedHeader
from webui.settings import WebuiSettings

PROXY = ("10.1.2.3", 5000)
OTHER = ("203.0.113.9", 5000)


IN_ONE_LOOP = pytest.mark.asyncio(loop_scope="module")
"""The app and what asks it."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    settings = WebuiSettings.model_validate(
        {
            "login": "header",
            "login_proxies": "10.1.0.0/16, ::1",
            "login_admins": "root, 김하나",
            "login_raters": "rita, root",
            "state_dir": tmp_path_factory.mktemp("pages"),
            "gateway_url": "http://127.0.0.1:9",
        }
    )
    return made_app(settings)


def at(app: FastAPI, peer: tuple[str, int] = PROXY) -> httpx2.AsyncClient:
    """Whoever asks from this address."""
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, client=peer), base_url="http://127.0.0.1:7860"
    )


def naming(name: bytes) -> Request:
    """What a proxy sends that names this user."""
    return Request({"type": "http", "headers": [(b"remote-user", name)], "client": PROXY})


@IN_ONE_LOOP
async def test_whom_the_proxy_names_comes_in_without_a_cookie(app: FastAPI) -> None:
    async with at(app) as page:
        headers = {"remote-user": "kim", "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
        told = await page.get("/", headers=headers | {"accept": "text/html"})
        assert told.status_code == 200
        assert "set-cookie" not in told.headers
        for path in ("/", "/config", "/login", "/logout"):
            assert (await page.get(path)).json()["error"]["code"] == "no_user_named"
        twice = [("remote-user", "kim"), ("remote-user", "root")]
        assert (await page.get("/config", headers=twice)).status_code == 403
        assert (await page.get("/config", headers={"remote-user": " "})).status_code == 403
        assert (await page.get("/healthz")).status_code == 200


@IN_ONE_LOOP
async def test_a_person_reads_in_their_language_why_the_page_does_not_open(app: FastAPI) -> None:
    page = {"accept": "text/html,*/*;q=0.8"}
    for peer, words in ((PROXY, ("누가 로그인했는지", "who is logged in")), (OTHER, ("주소를", "address"))):
        async with at(app, peer) as browser:
            for lang, word in zip(("ko", "en"), words, strict=True):
                told = await browser.get("/chat", headers=page | {"accept-language": lang})
                assert told.status_code == 403
                assert told.headers["content-type"] == "text/html; charset=utf-8"
                assert told.headers["cache-control"] == "no-store"
                assert f'<html lang="{lang}"' in told.text
                assert word in told.text
                assert "/login" not in told.text  # there is none here


@pytest.mark.parametrize("peer", ["10.2.0.1", "127.0.0.1", "203.0.113.9", "not-an-address"])
@IN_ONE_LOOP
async def test_from_others_the_header_is_refused(app: FastAPI, peer: str) -> None:
    async with at(app, (peer, 1)) as page:
        for forwarded in ({}, {"x-forwarded-for": "10.1.2.3"}):
            told = await page.get("/config", headers={"remote-user": "kim"} | forwarded)
            assert (told.status_code, told.json()["error"]["code"]) == (403, "not_the_proxy")


@IN_ONE_LOOP
async def test_administrators_are_those_of_the_settings(app: FastAPI) -> None:
    async with at(app) as page:
        assert (await page.get("/admin", headers={"remote-user": "kim"})).status_code == 403
        for name in (b"root", "김하나".encode()):
            told = await page.get("/admin", headers=[(b"remote-user", name)])
            assert (told.status_code, "읽지 못했습니다" in told.text) == (502, True)  # no gateway here


@IN_ONE_LOOP
async def test_raters_see_the_study_page_alone(app: FastAPI) -> None:
    async with at(app) as page:
        rita, kim = {"remote-user": "rita"}, {"remote-user": "kim"}
        led = await page.get("/chat", headers=rita | {"accept": "text/html"})
        assert (led.status_code, led.headers["location"]) == (303, "/study")
        for path in ("/config", "/page/answers?a=x", "/documents/api/stores", "/study/files/x.csv"):
            assert (await page.get(path, headers=rita)).json()["error"]["code"] == "for_members"
        told = await page.get("/gradio_api/call/any", headers=rita)
        assert told.status_code == 403
        links = {
            name: (await page.get("/study", headers=one)).text for name, one in (("r", rita), ("k", kim))
        }
        assert ("./chat" in links["r"], "./chat" in links["k"]) == (False, True)
        assert (await page.get("/study/api/studies", headers=rita)).json() == {"admin": False, "studies": []}
        root = await page.get("/config", headers={"remote-user": "root"})  # an administrator all the same
        assert root.status_code == 200


@IN_ONE_LOOP
async def test_a_proxy_over_both_protocols_is_the_same_proxy(app: FastAPI) -> None:
    async with at(app, ("::ffff:10.1.2.3", 1)) as page:
        assert (await page.get("/config", headers={"remote-user": "kim"})).status_code == 200


@IN_ONE_LOOP
async def test_names_are_utf_8_and_some_are_administrators() -> None:
    login = TrustedHeader("Remote-User", [ip_network("10.1.0.0/16")], ["김하나"])
    admin, member = [await login.admit(naming(name.encode()), True) for name in ("김하나", "kim")]
    assert (admin.name, admin.admin, admin.key) == ("김하나", True, None)
    assert not member.admin
    assert admin.user != member.user


@IN_ONE_LOOP
async def test_names_that_end_alike_in_bytes_are_two_users() -> None:
    login = TrustedHeader("Remote-User", [ip_network("10.1.0.0/16")], ["김미선"])
    # The last byte of either syllable is a space in Latin-1, as which servers hand headers on.
    root, other = [await login.admit(naming(f" {name}\t".encode()), True) for name in ("김미선", "김미신")]
    assert [(one.name, one.admin) for one in (root, other)] == [("김미선", True), ("김미신", False)]
    assert root.user != other.user
    longest = "가" * 200
    assert (await login.admit(naming(longest.encode()), True)).name == longest


@pytest.mark.parametrize(
    "name",
    ["José".encode("latin-1"), "김".encode("cp949"), b"kim\xc2\x9b31m", b"kim\tlee", ("가" * 201).encode()],
)
@IN_ONE_LOOP
async def test_what_is_no_name_in_utf_8_names_nobody(name: bytes) -> None:
    login = TrustedHeader("Remote-User", [ip_network("10.1.0.0/16")], [])
    with pytest.raises(PermissionDenied) as caught:
        await login.admit(naming(name), True)
    assert caught.value.code == "no_user_named"


@pytest.mark.parametrize(
    "given",
    [
        {"login": "header"},
        {"login": "key"},
        {"login": "key", "api_key": ""},
        {"login": "header", "login_proxies": "proxy.test"},
        {"login_raters": "rita"},
        {"login": "header", "login_proxies": ["::1"], "login_header": "a b"},
        {"login": "password"},
    ],
)
def test_a_login_that_would_let_anybody_in_does_not_start(
    given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KODOLLY_API_KEY", raising=False)
    with pytest.raises(ValidationError):
        WebuiSettings.model_validate(given)
