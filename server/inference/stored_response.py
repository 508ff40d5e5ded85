"""GET /v1/responses/{id} and POST /v1/responses/{id}/cancel: asked of the worker that made the response."""

import re
from collections.abc import Iterable

from starlette.types import Scope

from common.errors import MethodNotAllowed, NotFound
from server.inference.outbound import made_for
from server.upstreams.upstream import Upstream

ROUTE = "/v1/responses/{response_id}"
"""In records."""
_PATH = re.compile(r"/v1/responses/([A-Za-z0-9_.:-]{1,128})(/cancel)?")


def asked_for(scope: Scope) -> tuple[str, bytes, bytes]:
    """(id, method, path with query) of a request for a stored response. Raises NotFound, MethodNotAllowed."""
    match = _PATH.fullmatch(scope["path"])
    if match is None:
        raise NotFound(f"There is no route {scope['path']}.")
    method = "POST" if match.group(2) else "GET"
    if scope["method"] != method:
        raise MethodNotAllowed(f"This path takes {method}, not {scope['method']}.", headers={"allow": method})
    query: bytes = scope["query_string"]
    return match.group(1), method.encode(), scope["path"].encode() + (b"?" + query if query else b"")


def owner_of(response_id: str, key_id: str, upstreams: Iterable[Upstream]) -> Upstream:
    """The worker that made a response for this key. Raises NotFound when it is not here any more."""
    for worker in upstreams:
        if worker.kind == "worker" and made_for(response_id, key_id, worker.id):
            return worker
    raise NotFound(
        f"The response {response_id!r} is not known here.",
        hint="Responses live at the worker that made them and end with it.",
        param="response_id",
    )
