"""Clients with other manners: compressed bodies, and Azure's paths and key header."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import openai
import pytest

from common import zstd
from common.errors import BadRequest
from server.client.large_body import small
from server.inference.engine_fields import check_engine_fields
from tests.support.processes import free_port, kodolly, running, scripted_engine

BODY = {"model": "dolly", "messages": [{"role": "user", "content": "안녕" * 200}], "max_tokens": 3}
KEY = "right-key"


@dataclass(frozen=True)
class Site:
    gateway: str
    engine: str

    def post(self, content: bytes, path: str = "/v1/chat/completions", **headers: str) -> httpx2.Response:
        given = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx2.post(self.gateway + path, content=content, headers=given, trust_env=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    tmp = tmp_path_factory.mktemp("manners")
    gateway = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp, "dolly"))
        argv = kodolly("gateway", "--port", gateway.rpartition(":")[2], "--static", f"dolly={engine}")
        env = {
            "KODOLLY_STATE_DIR": str(tmp / "state"),
            "KODOLLY_API_KEYS": json.dumps([KEY]),
            "KODOLLY_ADMIN_TOKEN": "admin-token",
        }
        stack.enter_context(running(argv, tmp / "gateway.log", f"{gateway}/healthz", env, tmp))
        yield Site(gateway, engine)


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_compressed_chat_is_answered(site: Site, coding: str, compress: Callable[[bytes], bytes]) -> None:
    content = compress(json.dumps(BODY).encode())
    answer = site.post(content, content_encoding=coding)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 3


def test_a_compressed_body_of_another_route_is_read(site: Site) -> None:
    content = gzip.compress(json.dumps({"name": "압축"}).encode())
    answer = site.post(content, "/admin/keys", content_encoding="gzip", authorization="Bearer admin-token")
    assert (answer.status_code, answer.json()["name"]) == (201, "압축")


FORM = (
    b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\ndolly\r\n'
    b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    + b"RIFF" * 999
    + b"\r\n--x--\r\n"
)


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_compressed_form_is_read(site: Site, coding: str, compress: Callable[[bytes], bytes]) -> None:
    path, form = "/v1/audio/transcriptions", "multipart/form-data; boundary=x"
    plain = site.post(FORM, path, content_type=form)
    packed = site.post(compress(FORM), path, content_type=form, content_encoding=coding)
    assert (packed.status_code, packed.json()) == (200, plain.json())
    cut = site.post(compress(FORM)[:-5], path, content_type=form, content_encoding=coding)
    assert cut.status_code == 400
    assert f"The {coding} body ends early" in cut.json()["error"]["message"]


def test_an_unknown_coding_is_415_with_what_works(site: Site) -> None:
    answer = site.post(b"x", content_encoding="br")
    assert answer.status_code == 415
    assert "gzip" in answer.headers["accept-encoding"]
    assert "Send one of gzip" in answer.json()["error"]["message"]


def test_the_official_client_of_azure_works(site: Site) -> None:
    client = openai.AzureOpenAI(
        api_key=KEY,
        api_version="2024-10-21",
        azure_endpoint=site.gateway,
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )
    with client:
        assert client.chat.completions.create(**BODY).choices[0].message.content  # type: ignore[call-overload]
        chunks = list(client.chat.completions.create(**BODY, stream=True))  # type: ignore[call-overload]
        assert chunks[0].model == "dolly"
        assert [model.id for model in client.models.list()] == ["dolly"]


@pytest.mark.parametrize(
    "path",
    ["/openai/deployments/dolly/chat/completions?api-version=2024-10-21", "/openai/v1/chat/completions"],
)
def test_azures_paths_and_key_header_are_taken(site: Site, path: str) -> None:
    asked = BODY if "/v1/" in path else {name: BODY[name] for name in ("messages", "max_tokens")}
    answer = httpx2.post(site.gateway + path, json=asked, headers={"api-key": KEY}, trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.json()["model"] == "dolly"


def test_a_wrong_azure_key_is_refused(site: Site) -> None:
    path = "/openai/deployments/dolly/chat/completions"
    answer = httpx2.post(site.gateway + path, json=BODY, headers={"api-key": "wrong"}, trust_env=False)
    assert answer.status_code == 401


TRANSFER = {"remote_host": "10.0.0.1", "remote_block_ids": [1, 2]}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"]
)
@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("priority", -1),
        ("priority", "-1"),
        ("kv_transfer_params", TRANSFER),
        ("ec_transfer_params", TRANSFER),
    ],
)
def test_fields_that_act_on_the_requests_of_others_are_refused(
    site: Site, path: str, size: int, name: str, value: object
) -> None:
    body = json.dumps(BODY | {"prompt": "가" * size, "input": "가", name: value})
    for text in (body, body.replace(f'"{name}"', f'"\\u{ord(name[0]):04x}{name[1:]}"')):
        answer = site.post(text.encode(), path)
        assert answer.status_code == 400, text[:200]
        assert name in answer.json()["error"]["message"]


def test_such_fields_without_a_meaning_pass(site: Site) -> None:
    body = BODY | {"priority": 0, "kv_transfer_params": None, "ec_transfer_params": None}
    answer = site.post(json.dumps(body).encode())
    assert answer.status_code == 200, answer.text


def test_the_operator_can_allow_them() -> None:
    body = small(json.dumps({"model": "dolly", "priority": 3}).encode())
    check_engine_fields(body, ["priority"])
    with pytest.raises(BadRequest, match=r"engine_fields: \[priority\]"):
        check_engine_fields(body, ["kv_transfer_params"])
    named = small(json.dumps(BODY | {"messages": asking_with({"uuid": "x"})}).encode())
    check_engine_fields(named, ["uuid"])
    with pytest.raises(BadRequest, match=r"engine_fields: \[uuid\]"):
        check_engine_fields(named, ["priority"])


def asking_with(part: dict[str, object], more: str = "") -> list[dict[str, object]]:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    return [{"role": "user", "content": [{"type": "text", "text": "이 그림은?" + more}, picture | part]}]


@pytest.mark.parametrize("size", [10, 100_000, 2_000_000])
@pytest.mark.parametrize("field", ["messages", "input"])
@pytest.mark.parametrize("url", [{"url": "data:image/png;base64,AAAA"}, None])
def test_a_part_may_not_name_its_file_for_the_engines_cache(
    site: Site, size: int, field: str, url: object
) -> None:
    """A name that two clients choose is one entry at the engine: whose picture answers both?"""
    path = "/v1/chat/completions" if field == "messages" else "/v1/responses"
    body = json.dumps(BODY | {field: asking_with({"uuid": "cat", "image_url": url}, "가" * size)})
    for text in (body, body.replace('"uuid"', '"\\u0075u\\u0069d"'), body.replace('"uuid":', '"uuid" \n :')):
        answer = site.post(text.encode(), path)
        assert answer.status_code == 400, text[-300:]
        assert answer.json()["error"]["param"] == "uuid"


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_uuid_elsewhere_passes(site: Site, size: int) -> None:
    said = 'Write {"uuid": 1} into uuid.json'
    schema = {"type": "object", "properties": {"uuid": {"type": "string"}}}
    body = BODY | {
        "messages": [{"role": "user", "content": said, "uuid": "7"}, *asking_with({"uuid": None})],
        "tools": [{"type": "function", "function": {"name": "find", "parameters": schema}}],
        "metadata": {"uuid": "x", "more": "A" * size},
    }
    answer = site.post(json.dumps(body).encode())
    assert answer.status_code == 200, answer.text
