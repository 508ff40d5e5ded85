"""The administrators' screens and the forms on them. All that they do is done by the gateway's /admin."""

from collections.abc import Callable
from datetime import date
from typing import get_args
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response

from common.doors import door
from webui.admin.desk import FORM_BYTES, Desk, Form
from webui.admin.fleet_routes import add_fleet
from webui.admin.frame import Notice
from webui.admin.improve_routes import add_improve
from webui.admin.keys import ListedKey, read_keys, wishes
from webui.admin.keys_html import keys_html
from webui.admin.review_routes import add_review
from webui.admin.usage import GroupedBy, first_of_month, read_usage
from webui.gateway_client import GatewayClient
from webui.texts import Lang


def add_admin(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    """All of them. `allowed` tells an administrator's request; `client` asks with their key."""
    _add_keys(app, client, allowed)
    add_fleet(app, client, allowed)
    add_review(app, client, allowed)
    add_improve(app, client, allowed)


def _add_keys(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    keys = _Keys(client)
    desk = Desk(client, allowed, "keys", keys.draw)

    @app.get("/admin")
    @door("public")
    async def show(request: Request) -> Response:
        return await desk.answer(request)

    @app.post("/admin/keys")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def create(request: Request) -> Response:
        return await desk.answer(request, keys.create)

    @app.post("/admin/keys/{key_id}")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def change(request: Request) -> Response:
        return await desk.answer(request, keys.change)

    @app.post("/admin/keys/{key_id}/revoke")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def revoke(request: Request) -> Response:
        return await desk.answer(request, keys.revoke)


class _Keys:
    """What happens to keys. Raises GatewayError."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def draw(self, request: Request, lang: Lang) -> str:
        """Keys and usage."""
        by, since = _asked(request)
        keys = await read_keys(self._client)
        return keys_html(lang, keys, await read_usage(self._client, by, since), by, since)

    async def create(self, form: Form, _key_id: str) -> Notice:
        """Make a key; its secret is in what is said."""
        body = wishes(form) | {"admin": form.get("admin") == "yes"}
        made = await self._client.send("POST", "/admin/keys", body)
        key, secret = ListedKey.model_validate(made), str(made["secret"])
        return Notice("admin_made", good=True, values={"name": key.name}, secret=secret)

    async def change(self, form: Form, key_id: str) -> Notice:
        """Change a key that is still as the form showed it."""
        body = wishes(form) | {"version": form.get("version", "")}
        made = await self._client.send("PATCH", f"/admin/keys/{_named(key_id)}", body)
        return Notice("admin_saved", good=True, values={"name": ListedKey.model_validate(made).name})

    async def revoke(self, form: Form, key_id: str) -> Notice:
        """Take a key out of force."""
        if form.get("sure") != "yes":
            return Notice("admin_unsure", good=False, values={})
        made = await self._client.send("DELETE", f"/admin/keys/{_named(key_id)}")
        return Notice("admin_was_revoked", good=True, values={"name": ListedKey.model_validate(made).name})


def _named(key_id: str) -> str:
    return quote(key_id, safe="")


def _asked(request: Request) -> tuple[GroupedBy, date]:
    """By what the usage is summed, and from which day on; what makes no sense in the address is left out."""
    asked = request.query_params.get("by")
    known: tuple[GroupedBy, ...] = get_args(GroupedBy)
    by: GroupedBy = next((one for one in known if one == asked), "key")
    try:
        return by, date.fromisoformat(request.query_params.get("since", ""))
    except ValueError:
        return by, first_of_month()
