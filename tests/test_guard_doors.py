"""Every route of every server declares what it asks of whoever comes."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from common.doors import Doors, door
from common.own_names import OwnNames
from controller.app import create_app
from controller.settings import ControllerSettings
from server.routes import ROUTES


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
    ],
)
def test_names_that_are_ours(bound: str, host: bytes, owned: bool) -> None:
    assert OwnNames(bound, ("chat.example.kr",)).owns(host) is owned


def test_the_controller_refuses_strangers_and_what_is_no_json() -> None:
    app = create_app(ControllerSettings.model_validate({"join_token": "token"}))
    with TestClient(app) as client:
        assert client.get("/v1/workers").status_code == 401
        right = {"authorization": "Bearer token"}
        assert client.get("/v1/workers", headers=right).status_code == 200
        plain = right | {"content-type": "text/plain"}
        assert client.put("/v1/workers/a", content=b"{}", headers=plain).status_code == 415
        assert client.head("/healthz").status_code == 200


def test_the_web_ui_is_shown_under_its_own_names_alone() -> None:
    from webui.app import create_app as create_webui
    from webui.settings import WebuiSettings

    with TestClient(create_webui(WebuiSettings()), base_url="http://127.0.0.1:7860") as client:
        assert client.get("/").status_code == 200
        assert client.get("/", headers={"host": "rebind.test"}).status_code == 403
        assert client.get("/theme.css").status_code == 200
        path, foreign, own = (
            "/gradio_api/upload",
            {"origin": "http://evil.test"},
            {"origin": "http://127.0.0.1:7860"},
        )
        files = {"files": ("a.txt", "안녕".encode())}
        assert client.post(path, files=files, headers=foreign).status_code == 403
        assert client.post(path, files=files, headers=own).status_code == 200
        plain = own | {"content-type": "text/plain"}
        assert client.post("/gradio_api/reset", content=b"{}", headers=plain).status_code == 415
