"""Signing in at an OpenID Connect provider that is not ours, in Chromium, from another site and back."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.accessibility import violations
from tests.support.processes import free_port, running
from tests.support.webui_driver import TIMEOUT_MS
from tests.support.webui_stage import webui_command

pytestmark = pytest.mark.slow

USERS = (
    {"sub": "kim", "name": "김하나", "groups": ["staff"]},
    {"sub": "stranger", "name": "남", "groups": ["others"]},
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    cwd = tmp_path_factory.mktemp("oidc")
    port, page_port = free_port(), free_port()
    issuer, url = f"http://127.0.0.1:{port}", f"http://localhost:{page_port}"
    users = [f"--user-claims={json.dumps(user)}" for user in USERS]
    env = {
        "KODOLLY_WEBUI_LOGIN": "oidc",
        "KODOLLY_WEBUI_PUBLIC_URL": url,
        "KODOLLY_WEBUI_LOGIN_ISSUER": issuer,
        "KODOLLY_WEBUI_LOGIN_CLIENT_ID": "kodolly",
        "KODOLLY_WEBUI_LOGIN_CLIENT_SECRET": "secret",
        "KODOLLY_WEBUI_LOGIN_MEMBERS": "staff",
        "KODOLLY_STATE_DIR": str(cwd / "page"),
    }
    with ExitStack() as parts:
        asked = [str(Path(sys.executable).parent / "oidc-provider-mock"), "--port", str(port), *users]
        ready = f"{issuer}/.well-known/openid-configuration"
        parts.enter_context(running(asked, cwd / "provider.log", ready))
        command = webui_command(page_port, "http://127.0.0.1:9")
        ready = f"http://127.0.0.1:{page_port}/healthz"
        parts.enter_context(running(command, cwd / "webui.log", ready, env))
        yield url


@pytest.mark.parametrize(("locale", "width", "scheme"), [("ko-KR", 1440, "light"), ("en-US", 390, "dark")])
def test_sign_in_at_a_provider_and_leave(
    url: str, browser: Browser, locale: str, width: int, scheme: str
) -> None:
    context = browser.new_context(
        locale=locale,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    context.route("https://**", lambda route: route.abort())  # the provider's page would fetch a style sheet
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}/models")
    assert violations(page) == []
    page.locator("#sign-in").click()
    page.get_by_role("button", name="stranger").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    page.locator("#sign-in").click()
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{url}/models")  # this provider's refusal does not say what it refuses: it has no state
    page.locator("#sign-in").click()
    page.get_by_role("button", name="kim").click()
    page.wait_for_url(f"{url}/models")
    page.goto(f"{url}/login")
    expect(page.locator("main strong")).to_have_text("김하나")
    page.locator("form button").click()
    expect(page.locator("#sign-out-elsewhere")).to_be_visible()
    assert violations(page) == []
    page.goto(f"{url}/models")
    assert "/login" in page.url
    context.close()
