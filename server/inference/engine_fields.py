"""Fields of vLLM's requests that act on other requests: clients may send them where the operator says so.

vLLM takes them from anybody (0.32: `ChatCompletionRequest` and its kin). `priority` decides, at an engine
with `--scheduling-policy priority`, whose work is put off; the transfer parameters name other hosts and the
blocks of memory there that hold another request's keys and values, or a picture's encoding.
"""

from collections.abc import Collection
from typing import Literal

from common.errors import BadRequest
from server.client.request import RequestHead

EngineField = Literal["priority", "kv_transfer_params", "ec_transfer_params"]
_WHY: dict[EngineField, str] = {
    "priority": "it would put off the requests of others",
    "kv_transfer_params": "it is for engines among themselves",
    "ec_transfer_params": "it is for engines among themselves",
}


def check_engine_fields(head: RequestHead, allowed: Collection[EngineField]) -> None:
    """Raises BadRequest for one that is there and means something (null and priority 0 do not)."""
    if not (head.priority or head.kv_transfer_params or head.ec_transfer_params):
        return
    for name, why in _WHY.items():
        if getattr(head, name) and name not in allowed:
            raise BadRequest(
                f"{name}: clients may not set it here, as {why}.",
                param=name,
                code="unsupported_parameter",
                hint=f"Leave it out. Whoever runs the gateway can allow it: gateway.engine_fields: [{name}].",
            )
