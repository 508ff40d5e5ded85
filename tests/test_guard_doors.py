"""Every route of every server declares what it asks of whoever comes."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from common.doors import Doors, door
from common.own_hosts import OwnHosts
from controller.app import create_app
from controller.settings import ControllerSettings
from server.client.routes import ROUTES


def test_a_route_without_a_door_cannot_be_served() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/with")
    @door("key")
    async def with_door() -> None: ...

    Doors(app.routes, {})

    @app.get("/without")
    async def without() -> None: ...

    with pytest.raises(TypeError, match="/without"):
        Doors(app.routes, {})
    assert all(route.door.access == "key+model" for route in ROUTES.values())


@pytest.mark.parametrize(
    ("bound", "host", "owned"),
    [
        ("127.0.0.1", b"localhost:8000", True),
        ("127.0.0.1", b"[::1]:8000", True),
        ("127.0.0.1", b"rebind.test:8000", False),
        ("127.0.0.1", b"10.0.0.5:8000", False),
        ("0.0.0.0", b"10.0.0.5:8000", True),
        ("0.0.0.0", b"rebind.test", False),
        ("127.0.0.1", b"chat.example.kr", True),
        ("127.0.0.1", b"chat.example.kr.evil.test", False),
        ("127.0.0.1", b"localhost.:8000", True),
        ("127.0.0.1", b"localhost:", True),
        ("127.0.0.1", b"localhost:evil", False),
        ("127.0.0.1", b"127.0.0.1:80:90", False),
        ("127.0.0.1", b"[::1", False),
        ("127.0.0.1", b"[::1].evil.test", False),
        ("127.0.0.1", b"evil.test@127.0.0.1", False),
        ("127.0.0.1", b"", False),
    ],
)
def test_names_that_are_ours(bound: str, host: bytes, owned: bool) -> None:
    assert OwnHosts(bound, ("chat.example.kr",)).owns(host) is owned


def test_the_controller_refuses_strangers_and_what_is_no_json() -> None:
    app = create_app(ControllerSettings.model_validate({"join_token": "token"}))
    with TestClient(app) as client:
        assert client.get("/v1/workers").status_code == 401
        right = {"authorization": "Bearer token"}
        assert client.get("/v1/workers", headers=right).status_code == 200
        plain = right | {"content-type": "text/plain"}
        assert client.put("/v1/workers/a", content=b"{}", headers=plain).status_code == 415
        assert client.head("/healthz").status_code == 200
