"""/admin/workers: workers are drained, and a name's traffic is split."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response

from common.doors import door
from webui.admin.desk import FORM_BYTES, Desk, Form, FormRefused
from webui.admin.fleet import NAME_CHARACTERS, read_names, read_workers, split_wishes
from webui.admin.fleet_html import fleet_html
from webui.admin.frame import Notice
from webui.gateway_client import GatewayClient
from webui.texts import Lang


def add_fleet(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    """The routes. `allowed` tells an administrator's request; `client` asks with their key."""
    fleet = _Fleet(client)
    desk = Desk(client, allowed, "workers", fleet.draw)

    @app.get("/admin/workers")
    @door("public")
    async def show(request: Request) -> Response:
        return await desk.answer(request)

    @app.post("/admin/workers/{worker_id}/drain")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def drain(request: Request) -> Response:
        return await desk.answer(request, fleet.drain)

    @app.post("/admin/workers/{worker_id}/undrain")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def undrain(request: Request) -> Response:
        return await desk.answer(request, fleet.undrain)

    @app.post("/admin/names/promote")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def promote(request: Request) -> Response:
        return await desk.answer(request, fleet.promote)

    @app.post("/admin/names")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def split(request: Request) -> Response:
        return await desk.answer(request, fleet.split)

    @app.post("/admin/names/end")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def end(request: Request) -> Response:
        return await desk.answer(request, fleet.end)


class _Fleet:
    """What happens to workers and names. Raises FormRefused, GatewayError."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def draw(self, _request: Request, lang: Lang) -> str:
        """Both lists."""
        return fleet_html(lang, await read_workers(self._client), await read_names(self._client))

    async def drain(self, form: Form, worker_id: str) -> Notice:
        """Have a worker finish what runs, and stop."""
        if form.get("sure") != "yes":
            return Notice("admin_unsure", good=False, values={})
        path = f"/admin/workers/{quote(worker_id, safe='')}/drain"
        told = await self._client.send("POST", path, {"incarnation": form.get("incarnation", "")})
        return _done("worker_drains", worker_id, told)

    async def undrain(self, form: Form, worker_id: str) -> Notice:
        """Have a worker that was asked to stop go on."""
        incarnation = quote(form.get("incarnation", ""), safe="")
        path = f"/admin/workers/{quote(worker_id, safe='')}/drain?incarnation={incarnation}"
        return _done("worker_goes_on", worker_id, await self._client.send("DELETE", path))

    async def promote(self, form: Form, _id: str) -> Notice:
        """Give all of a name's traffic to the canary. The split stays, so that `kodolly promote` and `kodolly
        rollback` know which of the models is the canary."""
        if form.get("sure") != "yes":
            return Notice("admin_unsure", good=False, values={})
        name = _name(form)
        told = await self._client.send("PUT", _path(name), split_wishes({**form, "share": "100"}))
        return _done("names_promoted", name, told)

    async def split(self, form: Form, _id: str) -> Notice:
        """Split a name's traffic, or change the shares of one that is split."""
        name = _name(form)
        told = await self._client.send("PUT", _path(name), split_wishes(form))
        return _done("names_saved", name, told)

    async def end(self, form: Form, _id: str) -> Notice:
        """Give all of a name's traffic to the stable model; take one back that is not split."""
        if form.get("sure") != "yes":
            return Notice("admin_unsure", good=False, values={})
        name, target, version = _name(form), form.get("target", ""), form.get("version", "")
        if form.get("split") == "yes" and target != name:
            told = await self._client.send("PUT", _path(name), {"target": target, "version": version})
            return _done("names_saved", name, told)
        told = await self._client.send("DELETE", f"{_path(name)}?version={quote(version, safe='')}")
        return _done("names_removed", name, told)


def _name(form: Form) -> str:
    name = form.get("name", "").strip()
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise FormRefused("name")
    return name


def _path(name: str) -> str:
    return f"/admin/names/{quote(name, safe='')}"


def _done(key: str, name: str, told: dict[str, Any]) -> Notice:
    missed = int(told.get("controllers_missed") or 0)
    values = {"name": name, "missed": missed}
    return Notice("admin_missed" if missed else key, good=not missed, values=values)
