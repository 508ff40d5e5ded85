"""GET /admin and the forms on it. All that they do is done by the gateway's /admin."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import get_args
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from common.doors import door
from webui.admin.keys import FormRefused, ListedKey, read_keys, wishes
from webui.admin.page import Notice, admin_html, problem
from webui.admin.usage import GroupedBy, first_of_month, read_usage
from webui.gateway_client import GatewayClient, GatewayError
from webui.texts import Lang, language, text

FORM_BYTES = 64 * 1024
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # without a referrer browsers send `Origin: null` with forms
}
Form = dict[str, str]
Act = Callable[[Form, str], Awaitable[Notice]]
"""Of a form and the id of a key in the address: what is said of it."""


def add_admin(app: FastAPI, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
    """The routes. `allowed` tells an administrator's request; `client` asks with their key."""
    desk = _Desk(client, allowed)

    @app.get("/admin")
    @door("public")
    async def show(request: Request) -> Response:
        return await desk.answer(request, None)

    @app.post("/admin/keys")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def create(request: Request) -> Response:
        return await desk.answer(request, desk.create)

    @app.post("/admin/keys/{key_id}")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def change(request: Request) -> Response:
        return await desk.answer(request, desk.change)

    @app.post("/admin/keys/{key_id}/revoke")
    @door("public", content="form", body_bytes=FORM_BYTES)
    async def revoke(request: Request) -> Response:
        return await desk.answer(request, desk.revoke)


class _Desk:
    """Does what the forms ask for."""

    def __init__(self, client: GatewayClient, allowed: Callable[[Request], bool]) -> None:
        self._client, self._allowed = client, allowed

    async def answer(self, request: Request, act: Act | None) -> Response:
        """Do what a form says, and show how things stand."""
        lang = language(request.headers.get("accept-language"))
        if not self._allowed(request):
            return _html(request, problem(lang, "admin_not_yours"), 403)
        said = await self._done(request, lang, act) if act else None
        by, since = _asked(request)
        try:
            keys = await read_keys(self._client)
            usage = await read_usage(self._client, by, since)
        except GatewayError as error:
            key = "admin_needs_admin_key" if error.failure.kind == "gateway_key" else "admin_failed"
            return _html(request, problem(lang, key, error.failure.message), 502)
        page = admin_html(lang, keys, usage, by, since, said)
        return _html(request, page, 200 if said is None or said.good else 409)

    async def _done(self, request: Request, lang: Lang, act: Act) -> Notice:
        sent = await request.form()
        form = {name: value for name, value in sent.items() if isinstance(value, str)}
        try:
            return await act(form, str(request.path_params.get("key_id", "")))
        except FormRefused as refused:
            field = text(lang, f"admin_{refused}")
            return Notice("admin_bad_field", good=False, values={"field": field})
        except GatewayError as error:
            # The gateway knows no such key: to the client every 404 is about a model.
            known = {"key_changed": "admin_changed_meanwhile", "model_not_found": "admin_gone"}
            key = known.get(error.failure.kind, "admin_not_done")
            return Notice(key, good=False, values={"reason": error.failure.message})

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


def _html(request: Request, page: str, status: int = 200) -> HTMLResponse:
    # Links and forms are relative to the page's own address, also where a form's is deeper.
    depth = request.url.path.removeprefix(request.scope.get("root_path", "")).count("/") - 1
    based = page.replace("<head>", f'<head><base href="{"../" * depth or "./"}">', 1)
    return HTMLResponse(based, status, HEADERS)
