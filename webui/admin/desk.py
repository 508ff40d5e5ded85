"""What all of the administrators' screens share: who may see them, what a form has done, and the frame."""

from collections.abc import Awaitable, Callable, Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from webui.admin.frame import Notice, Screen, page, problem
from webui.failures import Failure, advice, headline
from webui.gateway_client import GatewayClient, GatewayError
from webui.texts import Lang, language, text

FORM_BYTES = 64 * 1024
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "same-origin",  # without a referrer browsers send `Origin: null` with forms
}
Form = Mapping[str, str]
Act = Callable[[Form, str], Awaitable[Notice]]
"""Of a form and the id in its address: what is said of it. Raises FormRefused, GatewayError."""
Draw = Callable[[Request, Lang], Awaitable[str]]
"""What a screen shows. Raises GatewayError."""
MEANWHILE = "changed_meanwhile"
ENTERED = (
    *("name", "models", "requests_per_min", "tokens_per_min", "concurrency", "budget_tokens", "expires"),
    *("stable", "canary", "share", "note"),
)
"""Fields of all forms that people write into; texts have a label for each."""


class FormRefused(Exception):
    """A field makes no sense; the message is the field's name."""


class Desk:
    """One screen: does what its forms ask for, and shows how things stand then."""

    def __init__(
        self, client: GatewayClient, allowed: Callable[[Request], bool], screen: Screen, draw: Draw
    ) -> None:
        """`allowed` tells an administrator's request; `client` asks with their key."""
        self._client, self._allowed, self._screen, self._draw = client, allowed, screen, draw

    async def answer(self, request: Request, act: Act | None = None) -> Response:
        """Do what a form says, and show the screen."""
        lang = language(request.headers.get("accept-language"))
        if not self._allowed(request):
            return _html(request, problem(lang, self._screen, "admin_not_yours"), 403)
        said = await self._done(request, lang, act) if act else None
        try:
            body = await self._draw(request, lang)
        except GatewayError as error:
            key = "admin_needs_admin_key" if error.failure.kind == "gateway_key" else "admin_failed"
            return _html(request, problem(lang, self._screen, key, _reason(error.failure, lang)), 502)
        return _html(request, page(lang, self._screen, body, said), 200 if said is None or said.good else 409)

    async def _done(self, request: Request, lang: Lang, act: Act) -> Notice:
        sent = await request.form()
        form = {name: value for name, value in sent.items() if isinstance(value, str)}
        try:
            return await act(form, next(map(str, request.path_params.values()), ""))
        except FormRefused as refused:
            values = {"field": text(lang, f"admin_{refused}")}
            return Notice("admin_bad_field", good=False, values=values, typed=_typed(form))
        except GatewayError as error:
            # The gateway knows no such thing: to the client every 404 is about a model.
            known = {MEANWHILE: f"{self._screen}_{MEANWHILE}", "model_not_found": f"{self._screen}_gone"}
            key = known.get(error.failure.kind, "admin_not_done")
            values = {"reason": error.failure.message}
            return Notice(key, good=False, values=values, typed=_typed(form))


def _reason(failure: Failure, lang: Lang) -> str:
    if failure.kind == "no_such_address":
        return f"{headline(failure, lang)} {advice(failure, lang)}"
    return failure.message


def _typed(form: Form) -> dict[str, str]:
    """What somebody has entered, to be shown where it was not saved: the form has the kept values then."""
    return {name: form[name] for name in ENTERED if form.get(name, "").strip()}


def _html(request: Request, page: str, status: int = 200) -> HTMLResponse:
    # Links and forms are relative to the page's own address, also where a form's is deeper.
    depth = request.url.path.removeprefix(request.scope.get("root_path", "")).count("/") - 1
    based = page.replace("<head>", f'<head><base href="{"../" * depth or "./"}">', 1)
    return HTMLResponse(based, status, HEADERS)
