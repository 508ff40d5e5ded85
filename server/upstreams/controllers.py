"""What administrators have changed at the controllers: each of them knows everything, so all are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from common.errors import ApiError, BadRequest, Conflict, NotFound, UpstreamFailed

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 5.0
REFUSALS: Mapping[int, type[ApiError]] = {400: BadRequest, 404: NotFound, 409: Conflict, 422: BadRequest}


@dataclass(frozen=True, slots=True)
class Controllers:
    """All controllers of the cluster."""

    urls: tuple[str, ...]
    token: str = field(repr=False)
    http: "httpx2.AsyncClient" = field(repr=False)

    async def tell_all(
        self, method: str, path: str, body: dict[str, Any] | None = None, seen: str | None = None
    ) -> int:
        """How many could not be reached. Raises ApiError where one refuses, or none is there.

        The first that can be reached is told which version was `seen`, and so decides between two changes
        that come at once; another one may have missed the change before.
        """
        if not self.urls:
            raise Conflict("This gateway follows no controller: its workers stand in its settings.")
        missed = 0
        for number, url in enumerate(self.urls):
            deciding = seen if missed == number else None
            missed += not await self._tell(url, method, path, body, deciding)
        if missed == len(self.urls):
            raise UpstreamFailed("No controller answers.", hint="Start one, then do this again.")
        return missed

    async def _tell(
        self, url: str, method: str, path: str, body: dict[str, Any] | None, seen: str | None
    ) -> bool:
        import httpx2

        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        address = url.rstrip("/") + path + (f"?seen={quote(seen, safe='')}" if seen is not None else "")
        try:
            answer = await self.http.request(method, address, json=body, headers=headers, timeout=TIMEOUT_S)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return False
        if answer.is_error:
            refusal = REFUSALS.get(answer.status_code, UpstreamFailed)
            message = _told(answer, "message") or f"A controller answers {answer.status_code}."
            raise refusal(message, code=_told(answer, "code") or None)
        return True


def _told(answer: "httpx2.Response", name: str) -> str:
    """A field of its error; "" where there is none."""
    try:
        return str(answer.json()["error"][name] or "")
    except (ValueError, KeyError, TypeError):
        return ""
