"""How operator commands reach the controllers: their URLs, the join token, and errors in one line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from common.errors import UserError
from common.registry import DrainRequest, Snapshot, WorkerRecord
from common.settings import load_with_sources
from kodolly.clients.control import Addresses, Where, ask_up

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Controllers:
    """All controllers of a cluster: each knows everything, and changes are told to all."""

    urls: tuple[str, ...]
    token: str = field(repr=False)

    def snapshot(self) -> Snapshot:
        """What the first controller that answers knows. Raises UserError."""
        for url in self.urls:
            answer = self._ask(url, "GET", "/v1/workers")
            if answer is not None:
                return Snapshot.model_validate_json(answer.content)
        raise self._nobody()

    def snapshots(self) -> list[Snapshot]:
        """What each controller knows that can be reached. Raises UserError when none can."""
        answers = [self._ask(url, "GET", "/v1/workers") for url in self.urls]
        found = [Snapshot.model_validate_json(answer.content) for answer in answers if answer is not None]
        if not found:
            raise self._nobody()
        return found

    def drain(self, worker: WorkerRecord, timeout_s: float) -> None:
        """Ask this incarnation of a worker to stop. Raises UserError; one that is gone is no error."""
        asked = DrainRequest(incarnation=worker.incarnation, timeout_s=timeout_s)
        path = f"/v1/workers/{quote(worker.worker_id)}/drain"
        self.tell_all("POST", path, asked.model_dump(), ignore=(404, 409))

    def undrain(self, worker: WorkerRecord) -> None:
        """Take back that this incarnation of a worker shall stop. Raises UserError."""
        path = f"/v1/workers/{quote(worker.worker_id)}/drain?incarnation={quote(worker.incarnation)}"
        self.tell_all("DELETE", path)

    def tell_all(
        self, method: str, path: str, body: dict[str, Any] | None = None, ignore: Sequence[int] = ()
    ) -> list[str]:
        """Tell every controller; returns those that could not be reached. Raises UserError when none can."""
        missed = [url for url in self.urls if self._ask(url, method, path, body, ignore) is None]
        if len(missed) == len(self.urls):
            raise self._nobody()
        return missed

    def _ask(
        self,
        url: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        ignore: Sequence[int] = (),
    ) -> httpx2.Response | None:
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            answer = httpx2.request(
                method, url + path, json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False
            )
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return None
        if answer.status_code == 401:
            raise UserError(
                f"The controller at {url} refuses the join token.", hint="Set KODOLLY_JOIN_TOKEN."
            )
        if answer.is_error and answer.status_code not in ignore:
            raise UserError(_message(answer) or f"{url} is not a kodolly controller.")
        return answer

    def _nobody(self) -> UserError:
        return UserError(
            f"No controller answers at {', '.join(self.urls)}.",
            hint="Start one with `kodolly up` or `kodolly controller`, or name it with --controller.",
        )


def _message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""


def find_controllers(given: Sequence[str], config: Path | None = None) -> Controllers:
    """The controllers named by --controller, else by the gateway's settings, else those of the `kodolly up`
    of this state directory. Raises UserError when there is no join token.
    """
    from server.settings import GatewaySettings

    flags = {"controllers": tuple(given) or None}
    settings, sources = load_with_sources(GatewaySettings, flags, config)
    urls = settings.controllers
    if sources["controllers"] == "default":
        where = ask_up(settings.state_dir, Where(), Addresses)
        urls = (where.controller,) if where is not None else urls
    token = settings.join_token.get_secret_value() or _kept_token(settings.state_dir)
    return Controllers(tuple(url.rstrip("/") for url in urls), token)


def _kept_token(state_dir: Path) -> str:
    try:
        return (state_dir / "join-token").read_text(encoding="ascii").strip()
    except OSError as error:
        raise UserError(
            "The controllers ask for the join token.",
            hint="Set KODOLLY_JOIN_TOKEN, or run this where `kodolly up` runs.",
        ) from error


def find_gateway(given: str | None, config: Path | None = None) -> str:
    """The gateway named by --gateway, else that of this state directory's `kodolly up`, else the usual."""
    from server.settings import GatewaySettings

    if given:
        return given.rstrip("/")
    settings, sources = load_with_sources(GatewaySettings, {}, config)
    where = ask_up(settings.state_dir, Where(), Addresses) if sources["port"] == "default" else None
    return where.gateway if where is not None else f"http://127.0.0.1:{settings.port}"
