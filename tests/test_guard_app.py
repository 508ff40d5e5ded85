"""An app behind the guard: who is let in, what is asked of bodies, and one CORS policy for all."""

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest
from fastapi import FastAPI, Response
from starlette.testclient import TestClient

from common.cors import CrossOrigin
from common.doors import Door, Doors, door
from common.errors import InvalidApiKey
from common.guard import Guard
from common.guarded_app import GuardedApp
from common.own_hosts import OwnHosts, read_names

FRIEND = "https://friend.example.kr"
HERE = "http://127.0.0.1:8000"


def served(asks_key: bool = False, origins: tuple[str, ...] = (FRIEND,)) -> TestClient:
    """An app with one route of each kind, that counts in /count what reached it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    seen: list[bytes] = []

    @app.post("/do")
    @door("key", body_bytes=1000)
    async def do(body: dict[str, object], response: Response) -> int:
        seen.append(b"")
        response.headers["access-control-allow-origin"] = "*"  # as some frameworks think right
        return len(body)

    @app.post("/keep")
    @door("key", content="either", body_bytes=10_000)
    async def keep() -> int:
        return 0

    @app.get("/see")
    @door("key")
    async def see() -> int:
        return len(seen)

    @app.get("/healthz")
    @door("public", any_host=True)
    async def healthz() -> str:
        return "ok"

    def authenticate(token: str, asked: Door) -> str:
        if asks_key and asked.access != "public" and token != "right":
            raise InvalidApiKey("No.")
        return token

    def admit(_key: str, _door: Door, _body: bytes) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    names = OwnHosts("127.0.0.1", ("chat.example.kr",))
    guard = Guard(names, CrossOrigin(origins), authenticate, lambda: asks_key, 10_000, 5.0)
    return TestClient(GuardedApp(app, Doors(app.routes, {}), guard, admit), base_url=HERE)


@pytest.fixture
def open_app() -> Iterator[TestClient]:
    with served() as client:
        yield client


@pytest.mark.parametrize("address", ["/see?after=a%00b", "/see%00"])
def test_an_address_with_u_0000_reaches_no_store(open_app: TestClient, address: str) -> None:
    answer = open_app.get(address)
    assert answer.status_code == 400
    assert "U+0000" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000", "origin": "http://[::1]:8000"}, 200),
        ({"host": "chat.example.kr", "origin": "https://chat.example.kr"}, 200),
        ({"origin": HERE, "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "https://chat.example.kr"}, 200),  # a proxy with TLS in front of this address
        ({"origin": FRIEND, "sec-fetch-site": "cross-site"}, 200),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, 200),
        ({"host": "rebind.test:8000"}, 403),
        ({"host": "rebind.test:8000", "origin": "http://rebind.test:8000"}, 403),
        ({"host": "127.0.0.1.rebind.test"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.test"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),  # another program of this machine
        ({"origin": "https://friend.example.kr.evil.test"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:99999999"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
    ],
)
def test_without_a_key_no_page_of_another_site_is_let_in(
    open_app: TestClient, headers: dict[str, str], status: int
) -> None:
    assert open_app.post("/do", json={"a": 1}, headers=headers).status_code == status
    assert open_app.get("/see").json() == (1 if status == 200 else 0)


def test_a_link_from_elsewhere_is_followed(open_app: TestClient) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    frame = link | {"sec-fetch-dest": "iframe"}
    assert open_app.get("/see", headers=link).status_code == 200
    assert open_app.get("/see", headers=frame).status_code == 403
    assert open_app.post("/do", json={}, headers=link).status_code == 403


def test_what_tells_nothing_is_told_under_any_name(open_app: TestClient) -> None:
    """Health checks ask by the names and addresses that they have."""
    headers = {"host": "gateway.kodolly.svc", "origin": "http://evil.test"}
    assert open_app.get("/healthz", headers=headers).status_code == 200
    assert open_app.head("/healthz").status_code == 200


@pytest.mark.parametrize(
    "twice",
    [
        [("origin", HERE), ("origin", "http://evil.test")],
        [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("content-encoding", "gzip"), ("content-encoding", "identity")],
    ],
)
def test_what_is_judged_by_stands_once(open_app: TestClient, twice: list[tuple[str, str]]) -> None:
    kind = [] if twice[0][0] == "content-type" else [("content-type", "application/json")]
    answer = open_app.post("/do", content=b"{}", headers=[*twice, *kind])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_http")
    assert open_app.get("/see", headers=[("x-a", "1"), ("x-a", "2")]).status_code == 200


def test_a_body_that_nobody_would_look_at_is_not_read(open_app: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b"{"
        raise AssertionError("the body was read")

    headers = {"content-type": "application/json"}
    refused = open_app.post("/healthz", content=endless(), headers=headers)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET")
    assert open_app.request("GET", "/healthz", content=endless(), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "", None]
)
def test_a_body_must_say_that_it_is_json(open_app: TestClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = open_app.post("/do", content=b'{"a": 1}', headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")
    for good in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
        told = open_app.post("/do", content=b'{"a": 1}', headers={"content-type": good})
        assert told.status_code == 200


def test_a_key_opens_to_every_name_and_page_and_nothing_else_does() -> None:
    with served(asks_key=True) as client:
        foreign = {"host": "gateway:8000", "origin": "http://evil.test", "sec-fetch-site": "cross-site"}
        right = foreign | {"authorization": "Bearer right"}
        assert client.post("/do", json={}, headers=right).status_code == 200
        assert client.post("/do", json={}, headers=foreign | {"x-api-key": "right"}).status_code == 200
        big = client.post("/do", content=bytes(5000), headers=foreign)
        assert (big.status_code, big.headers["x-should-retry"]) == (401, "false")
        assert client.post("/no/such/route", json={}).status_code == 401
        assert client.post("/no/such/route", json={}, headers=right).status_code == 404


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_beyond_the_routes_limit_is_refused(open_app: TestClient, announced: bool) -> None:
    content = b'{"a": "' + bytes(1000) + b'"}'
    headers = {"content-type": "application/json"}
    answer = open_app.post("/do", content=content if announced else iter([content]), headers=headers)
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_a_body_of_very_many_values_is_refused_before_objects_are_made(open_app: TestClient) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.json_size.MOST_VALUES", 100)
        many = open_app.post("/do", json={"a": [1] * 200})
        few = open_app.post("/do", json={"a": ", ".join("1" * 200)})
        form = {"file": ("a.csv", b"1," * 200)}
        assert open_app.post("/keep", files=form).status_code == 200
    assert (many.status_code, "too many values" in many.text) == (400, True)
    assert few.status_code == 200


def test_bodies_on_their_way_take_so_much_together(
    open_app: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"content-type": "application/json"}
    monkeypatch.setattr("common.guarded_app.MOST_ARRIVING", 500)
    for _ in range(3):  # what was refused is not counted any more
        answer = open_app.post("/do", content=b'{"a": "%b"}' % (b"a" * 600), headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert open_app.post("/do", content=b'{"a": "%b"}' % (b"a" * 400), headers=headers).is_success


@pytest.mark.parametrize(("origin", "allowed"), [(FRIEND, FRIEND), ("http://evil.test", None), (HERE, None)])
def test_one_cors_policy_stands_on_every_answer_once(
    open_app: TestClient, origin: str, allowed: str | None
) -> None:
    """Also on refusals, on unknown paths, and where the app has thought of its own."""
    headers = {"origin": origin}
    answers = [
        open_app.post("/do", json={}, headers=headers),
        open_app.post("/do", content=b"x", headers=headers),
        open_app.get("/none", headers=headers),
        open_app.get("/healthz", headers=headers),
    ]
    asked = headers | {"access-control-request-method": "POST", "access-control-request-headers": "x-a"}
    preflight = open_app.options("/do", headers=asked)
    for answer in [*answers, preflight]:
        given = answer.headers.get_list("access-control-allow-origin")
        assert given == ([] if allowed is None else [allowed])
    assert preflight.status_code == 204
    assert preflight.headers.get("access-control-allow-methods") == (None if allowed is None else "POST")
    assert open_app.options("/none", headers=asked).status_code in (403, 404)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("", ()),
        ("gateway,,", ("gateway",)),
        ("https://chat.example.kr, www.example.kr:8443", ("chat.example.kr", "www.example.kr")),
        (":443", ()),
        ('["A.example.kr."]', ("a.example.kr",)),
        ("[::1]:80 ::2", ("::1", "::2")),
    ],
)
def test_allowed_hosts_are_read_as_people_write_them(given: str, names: tuple[str, ...]) -> None:
    assert read_names(given) == names
