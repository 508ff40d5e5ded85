"""W24 and W25: the list of models, and what browsers ask before they ask.

Sources: OpenAI's models API (https://platform.openai.com/docs/api-reference/models), the Fetch standard's
CORS protocol (https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

import socket
from urllib.parse import urlsplit

import openai
import pytest

from tests.support.conformance.endpoint import Endpoint, error_of
from tests.support.conformance.wire import request

# W24


def test_w24_the_list_has_every_model_once(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W24: the union of what is served, without duplicates even when several workers serve one model."""
    names = [model.id for model in client.models.list()]
    assert len(names) == len(set(names))
    assert {endpoint.model, endpoint.model_embed} - {None} <= set(names)
    assert endpoint.alias is None or endpoint.alias in names


def test_w24_every_entry_is_whole(endpoint: Endpoint) -> None:
    """W24: id, object, created and owned_by on every entry, in a list object."""
    answer = endpoint.send("/v1/models", method="GET").json()
    assert answer["object"] == "list"
    for model in answer["data"]:
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert model["owned_by"]


def test_w24_one_model_can_be_asked_for(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W24: GET /v1/models/{id} is the entry of the list."""
    listed = {model.id: model for model in client.models.list()}
    assert client.models.retrieve(endpoint.model) == listed[endpoint.model]


@pytest.mark.parametrize("name", ["no/such/model", "no%2Fsuch%2Fmodel", "없는-모델"])
def test_w24_ids_may_have_slashes_and_any_letter(endpoint: Endpoint, name: str) -> None:
    """W24: an unknown id, also with slashes as in `org/model`, is `model_not_found`, not a missing route."""
    answer = endpoint.send(f"/v1/models/{name}", method="GET")
    assert (answer.status_code, error_of(answer)["code"]) == (404, "model_not_found")


def test_w24_the_list_does_not_wait_for_an_engine(endpoint: Endpoint) -> None:
    """W24: answered from memory: engines that hang do not hold it up."""
    endpoint.script("stall_before_headers")
    assert endpoint.send("/v1/models", method="GET").status_code == 200


def test_w24_an_adapter_names_its_parent(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W24: a model tuned from another says from which, as vLLM's list does."""
    if endpoint.model_adapter is None:
        pytest.skip("not applicable: no tuned model is known here")
    entry = client.models.retrieve(endpoint.model_adapter).model_dump()
    assert entry["parent"] == endpoint.model


def test_w24_a_model_that_is_not_ready_is_not_listed(endpoint: Endpoint, client: openai.OpenAI) -> None:
    """W24: the list has what can be asked now."""
    if endpoint.model_loading is None:
        pytest.skip("not applicable: no model is known to be loading")
    assert endpoint.model_loading not in [model.id for model in client.models.list()]


def test_w24_a_key_sees_the_models_that_it_may_use(endpoint: Endpoint) -> None:
    """W24: the list of a restricted key leaves the others out."""
    if endpoint.restricted_key is None:
        pytest.skip("not applicable: no --restricted-key")
    with endpoint.openai(endpoint.restricted_key) as restricted:
        assert endpoint.model not in [model.id for model in restricted.models.list()]


# W25


def test_w25_head_is_get_without_a_body(endpoint: Endpoint) -> None:
    """W25, RFC 9110 9.3.2: HEAD works where GET does, with no body."""
    answer = endpoint.send("/v1/models", method="HEAD")
    assert answer.status_code in (200, 405)
    assert answer.content == b""


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/models", "/v1/nothing", "/v1/responses/resp_1"]
)
def test_w25_no_answer_to_head_has_a_body(endpoint: Endpoint, path: str) -> None:
    """W25, RFC 9110 9.3.2: not even an error, or its bytes are taken for the next answer."""
    lines = [f"{name}: {value}" for name, value in endpoint.headers().items()]
    head = request(endpoint.base_url, "HEAD", endpoint.path(path), lines)
    listing = request(endpoint.base_url, "GET", endpoint.path("/v1/models"), [*lines, "Connection: close"])
    target = urlsplit(endpoint.base_url)
    if target.scheme == "https":
        pytest.skip("not applicable: this check speaks plain HTTP")
    with socket.create_connection((target.hostname or "", target.port or 80), timeout=20) as connection:
        connection.sendall(head + listing)
        came = connection.makefile("rb").read()
    first, _, rest = came.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 ")
    assert rest == b"" or rest.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("POST", "/v1/messages")]
)
def test_w25_a_preflight_needs_no_key(endpoint: Endpoint, method: str, path: str) -> None:
    """W25: browsers send OPTIONS without credentials; it must be answered before authentication."""
    endpoint.need("cors")
    headers = {
        "authorization": "",
        "origin": "https://example.org",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type",
    }
    answer = endpoint.send(path, method="OPTIONS", headers=headers)
    assert answer.status_code in (200, 204)
    assert answer.headers["access-control-allow-origin"] in ("*", "https://example.org")
    assert {"*", method} & set(answer.headers["access-control-allow-methods"].replace(",", " ").split())
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert allowed == "*" or {"authorization", "content-type"} <= {
        name.strip() for name in allowed.split(",")
    }


@pytest.mark.parametrize("name", ["unknown model", "wrong key", "no route", "broken JSON"])
def test_w25_an_error_may_be_read_by_a_page_too(endpoint: Endpoint, name: str) -> None:
    """W25: without the origin on it, a page learns nothing of what went wrong."""
    endpoint.need("cors")
    origin = {"origin": "https://example.org"}
    stranger = origin | {"authorization": "Bearer wrong-key"}
    answer = {
        "unknown model": lambda: endpoint.send(
            "/v1/chat/completions", endpoint.chat(model="no-such-model"), headers=origin
        ),
        "wrong key": lambda: endpoint.send("/v1/models", method="GET", headers=stranger),
        "no route": lambda: endpoint.send("/v1/nothing", method="GET", headers=origin),
        "broken JSON": lambda: endpoint.send("/v1/chat/completions", b"{", headers=origin),
    }[name]()
    assert answer.status_code >= 400 or not endpoint.asks_for_keys
    assert answer.headers["access-control-allow-origin"] in ("*", "https://example.org")


@pytest.mark.parametrize("stream", [False, True])
def test_w25_an_answer_may_be_read_by_a_page(endpoint: Endpoint, stream: bool) -> None:
    """W25: the answer itself names the origin too, or the page cannot read it."""
    endpoint.need("cors")
    headers = {"origin": "https://example.org"}
    answer = endpoint.stream("/v1/chat/completions", endpoint.chat(stream=stream), headers=headers)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "https://example.org")
