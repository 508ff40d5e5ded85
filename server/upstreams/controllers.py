"""What administrators have changed at the controllers: each of them knows everything, so all are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

    async def tell_all(self, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """How many could not be reached. Raises ApiError where one refuses, or none is there."""
        if not self.urls:
            raise Conflict("This gateway follows no controller: its workers stand in its settings.")
        missed = 0
        for url in self.urls:
            missed += not await self._tell(url, method, path, body)
        if missed == len(self.urls):
            raise UpstreamFailed("No controller answers.", hint="Start one, then do this again.")
        return missed

    async def _tell(self, url: str, method: str, path: str, body: dict[str, Any] | None) -> bool:
        import httpx2

        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        address = url.rstrip("/") + path
        try:
            answer = await self.http.request(method, address, json=body, headers=headers, timeout=TIMEOUT_S)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return False
        if answer.is_error:
            refusal = REFUSALS.get(answer.status_code, UpstreamFailed)
            raise refusal(_message(answer) or f"A controller answers {answer.status_code}.")
        return True


def _message(answer: "httpx2.Response") -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ""
