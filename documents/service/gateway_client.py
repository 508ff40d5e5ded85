"""The way back to the gateway: a model is asked as by any client, and its tokens are counted for the outer
request."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from common.errors import ApiError, UpstreamFailed, UpstreamTimeout
from common.status import Status, StatusModel

CONNECT_S, SILENCE_S = 5.0, 600.0
"""The gateway has time-outs of its own, which are shorter."""
CARDS_S = 5.0
"""How long what the gateway says of its models is believed."""
PASSED_ON = ("traceparent", "tracestate", "x-request-id")


class AnswerFailed(ApiError):
    """What the gateway has answered, passed on with its status."""

    def __init__(self, status: int, error: Mapping[str, Any]) -> None:
        self.answered, self.error = status, error  # first: ApiError asks for the status while it is made
        super().__init__(str(error.get("message") or f"The model answered with status {status}."))

    @property
    def status(self) -> int:  # type: ignore[override]
        """As the gateway's."""
        return self.answered

    def body(self) -> dict[str, Any]:
        """As the gateway's."""
        return {"error": dict(self.error)}


class GatewayClient:
    """One service's way to the gateway; `close` it."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token
        self._client: httpx2.AsyncClient | None = None
        self._cards: dict[str, StatusModel] = {}
        self._cards_at = -CARDS_S

    async def close(self) -> None:
        """No request is running any more."""
        if self._client is not None:
            await self._client.aclose()

    async def card(self, model: str) -> StatusModel | None:
        """What the gateway knows of a model; None when it knows none of this name, or does not answer."""
        if time.monotonic() - self._cards_at > CARDS_S:
            try:
                answer = await self._http().get(
                    f"{self._url}/v1/status", headers=self._headers({}), timeout=CONNECT_S
                )
                status = Status.model_validate_json(answer.raise_for_status().content)
            except (httpx2.HTTPError, ValueError):
                return self._cards.get(model)
            self._cards = {one.id: one for one in status.models}
            self._cards_at = time.monotonic()
        return self._cards.get(model)

    @asynccontextmanager
    async def asked(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncIterator[httpx2.Response]:
        """The answer to POST `path`, not read yet. Raises ApiError when there is none or it is an error."""
        request = self._http().build_request(
            "POST", self._url + path, content=msgspec.json.encode(body), headers=self._headers(headers)
        )
        try:
            answer = await self._http().send(request, stream=True)
        except httpx2.TimeoutException as error:
            raise UpstreamTimeout("The gateway has not answered in time.") from error
        except httpx2.HTTPError as error:
            raise UpstreamFailed(
                "The documents service cannot reach its gateway.", hint="Check documents.gateway_url."
            ) from error
        try:
            if answer.status_code >= 400:
                raise failure(answer.status_code, await answer.aread())
            yield answer
        except httpx2.HTTPError as error:
            raise UpstreamFailed("The model's answer broke off.") from error
        finally:
            await answer.aclose()

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name in PASSED_ON if (value := given.get(name))}
        return kept | {"authorization": f"Bearer {self._token}", "content-type": "application/json"}

    def _http(self) -> httpx2.AsyncClient:
        """Made at the first use: it belongs to the loop that runs then."""
        if self._client is None:
            timeout = httpx2.Timeout(SILENCE_S, connect=CONNECT_S)
            limits = httpx2.Limits(max_connections=None)
            self._client = httpx2.AsyncClient(trust_env=False, timeout=timeout, limits=limits)
        return self._client


def failure(status: int, body: bytes) -> AnswerFailed:
    """What an answer with a status of 400 or more says."""
    try:
        error = msgspec.json.decode(body)["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        error = {}
    return AnswerFailed(status, error if isinstance(error, dict) else {"message": str(error)})
