"""What providers are sent: the client's body without what they refuse, at their address, by the right way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from server.client.routes import CHAT, RESPONSES, ROUTES
from server.client.splice import JsonObject
from server.proxy import Proxy, is_excepted, parse_proxy, proxy_for
from server.settings import ExternalProvider
from server.upstreams.provider_request import adapt, provider_head

ASKED = {"model": "m", "temperature": 0.2, "top_p": 0.9, "stop": ["\n"], "max_tokens": 7, "seed": 1}


def provider(base_url: str = "https://x.example/v1", **fields: Any) -> ExternalProvider:
    return ExternalProvider(name="p", base_url=base_url, key_env="K", models=("m",), **fields)


def sent(known: ExternalProvider, model: str, route: Any = CHAT) -> dict[str, Any]:
    body = JsonObject(json.dumps(ASKED).encode())
    adapt(body, known, model, route)
    result: dict[str, Any] = json.loads(body.text())
    return result


@pytest.mark.parametrize(
    "model", ["gpt-5", "gpt-5-mini", "GPT-5.1", "openai/gpt-5-nano", "o1", "o3-mini", "o4-mini"]
)
def test_models_that_reason_get_nothing_that_they_refuse(model: str) -> None:
    assert sent(provider(), model) == {"model": "m", "max_completion_tokens": 7, "seed": 1}
    assert "temperature" not in sent(provider(), model, RESPONSES)


@pytest.mark.parametrize(
    "model", ["gpt-5-chat-latest", "gpt-4o-mini", "o", "olmo", "o3x", "my-gpt-5", "llama3"]
)
def test_other_models_get_what_was_asked(model: str) -> None:
    assert sent(provider(), model) == ASKED


def test_only_openai_itself_is_treated_as_openai() -> None:
    assert sent(provider("https://api.openai.com/v1"), "gpt-4o")["max_completion_tokens"] == 7
    for elsewhere in ("http://127.0.0.1:11434/v1", "https://api.openai.com.example.kr/v1"):
        assert sent(provider(elsewhere), "gpt-4o") == ASKED


def test_the_settings_drop_and_rename_and_win_over_the_table() -> None:
    known = provider(drop_params=("seed",), rename_params={"max_tokens": "max_new_tokens"})
    assert sent(known, "gpt-5") == {"model": "m", "max_new_tokens": 7}
    assert sent(known, "other") == {k: v for k, v in ASKED.items() if k not in ("seed", "max_tokens")} | {
        "max_new_tokens": 7
    }
    kept = provider(rename_params={"max_tokens": "max_tokens"})
    assert sent(kept, "gpt-5")["max_tokens"] == 7


def test_with_both_names_of_a_limit_the_new_one_counts() -> None:
    body = JsonObject(b'{"max_tokens": 9, "max_completion_tokens": 3}')
    adapt(body, provider(), "o3", CHAT)
    assert json.loads(body.text()) == {"max_completion_tokens": 3}


def test_embeddings_are_left_alone() -> None:
    assert sent(provider(drop_params=("seed",)), "gpt-5", ROUTES["/v1/embeddings"]) == ASKED


KEYS = st.sampled_from(["a", "b", "temperature"]) | st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_a_field_is_taken_out_and_no_other(
    body: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    rest = {name: value for name, value in body.items() if name != "temperature"}
    changed = JsonObject(text)
    changed.remove("temperature")
    assert json.loads(changed.text()) == rest


def head(known: ExternalProvider, proxy: Proxy | None = None) -> list[str]:
    made = provider_head(b"POST", b"/v1/chat/completions", known, SecretStr("geheim"), proxy)
    return made.decode().split("\r\n")


def test_azure_is_asked_in_both_its_forms() -> None:
    new = head(provider("https://r.openai.azure.com/openai/v1", key_header="api-key", api_version="preview"))
    assert new[0] == "POST /openai/v1/chat/completions?api-version=preview HTTP/1.1"
    assert "api-key: geheim" in new
    assert not any(line.startswith("authorization") for line in new)
    old = head(provider("https://r.openai.azure.com/openai/deployments/my-gpt/?api-version=2024-10-21"))
    assert old[0] == "POST /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 HTTP/1.1"
    assert "authorization: Bearer geheim" in old


def test_headers_of_the_settings_are_sent_and_bad_ones_refused() -> None:
    assert "x-team: nlp" in head(provider(headers={"X-Team": "nlp"}))
    for headers in ({"host": "x"}, {"a b": "x"}, {"x": "a\r\nb: c"}, {"x": "한"}, {"Content-Length": "1"}):
        with pytest.raises(ValidationError):
            provider(headers=headers)
    for url in (
        "https://h:x/v1",
        "https://user:pw@h/v1",
        "https://h/v1#x",
        "https://h/a b",
        "https://h/\r\nx",
    ):
        with pytest.raises(ValidationError):
            provider(url)


def test_a_proxy_sees_the_whole_address_of_an_unencrypted_target() -> None:
    lines = head(provider("http://llm.corp:8080/v1"), parse_proxy("http://kim:p%40ss@proxy:3128"))
    assert lines[0] == "POST http://llm.corp:8080/v1/chat/completions HTTP/1.1"
    assert "proxy-authorization: Basic a2ltOnBAc3M=" in lines
    assert "proxy-authorization" not in "".join(head(provider(), parse_proxy("http://kim:p@proxy:3128")))


@pytest.mark.parametrize(
    ("url", "environ", "at"),
    [
        ("https://x/v1", {"HTTPS_PROXY": "http://p:1"}, "p:1"),
        ("https://x/v1", {"https_proxy": "p:1", "HTTPS_PROXY": "http://q:2"}, "p:1"),
        ("http://x/v1", {"HTTPS_PROXY": "http://p:1"}, None),
        ("http://x/v1", {"HTTP_PROXY": "http://p:1"}, "p:1"),
        ("http://x/v1", {"ALL_PROXY": "https://p"}, "p:443"),
        ("https://x/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "y, x"}, None),
        ("https://x/v1", {"HTTPS_PROXY": " "}, None),
        ("https://x/v1", {}, None),
    ],
)
def test_the_proxy_is_read_from_the_environment(url: str, environ: dict[str, str], at: str | None) -> None:
    found = proxy_for(url, None, environ)
    assert (repr(found) if found else None) == at
    assert proxy_for(url, "none", environ) is None
    assert repr(proxy_for(url, "http://own:3", environ)) == "own:3"


@pytest.mark.parametrize(
    ("no_proxy", "host", "excepted"),
    [
        ("*", "x", True),
        ("example.kr", "example.kr", True),
        ("example.kr", "llm.example.kr", True),
        (".example.kr", "llm.example.kr", True),
        ("*.example.kr", "llm.example.kr", True),
        ("example.kr", "notexample.kr", False),
        ("Example.KR", "LLM.example.kr", True),
        ("example.kr:443", "example.kr", True),
        ("example.kr:80", "example.kr", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "example.kr", False),
        ("fd00::/8", "fd00::7", True),
        ("fd00::7", "fd00::7", True),
        ("[fd00::7]:443", "fd00::7", True),
        ("", "x", False),
        (",.,", "x", False),
    ],
)
def test_what_no_proxy_names_is_reached_directly(no_proxy: str, host: str, excepted: bool) -> None:
    assert is_excepted(host, 443, no_proxy) is excepted


def test_a_proxy_that_cannot_be_used_is_never_gone_around() -> None:
    found = proxy_for("https://x/v1", None, {"ALL_PROXY": "socks5://user:geheim@p:1"})
    assert found is not None
    assert "SOCKS is not supported" in found.problem
    assert "geheim" not in found.problem
    for url in ("socks5://p:1", "http://p:x", "http://p/path", "http://"):
        with pytest.raises(ValidationError):
            provider(proxy=url)
