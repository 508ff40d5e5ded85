"""Fields of vLLM's requests that act on other requests: clients may send them where the operator says so.

vLLM takes them from anybody (0.32: `ChatCompletionRequest` and its kin). `priority` decides, at an engine
with `--scheduling-policy priority`, whose work is put off; the transfer parameters name other hosts and the
blocks of memory there that hold another request's keys and values, or a picture's encoding. A content part's
`uuid` is the name under which the engine keeps what it made of a file (`part_uuid`).
"""

from collections.abc import Collection
from typing import Literal

from common.errors import BadRequest
from server.client.large_body import ThinBody

EngineField = Literal["priority", "kv_transfer_params", "ec_transfer_params", "uuid"]
_WHY: dict[EngineField, str] = {
    "priority": "it would put off the requests of others",
    "kv_transfer_params": "it is for engines among themselves",
    "ec_transfer_params": "it is for engines among themselves",
    "uuid": "who knows the name of another's picture or sound would be answered from that",
}


def check_engine_fields(body: ThinBody, allowed: Collection[EngineField]) -> None:
    """Raises BadRequest for a field that is present and has an effect (null and priority 0 have none)."""
    head = body.head
    if not (head.priority or head.kv_transfer_params or head.ec_transfer_params or body.names_files):
        return
    for name, why in _WHY.items():
        given = body.names_files if name == "uuid" else getattr(head, name)
        if given and name not in allowed:
            raise BadRequest(
                f"{name}: clients may not set it here, as {why}.",
                param=name,
                code="unsupported_parameter",
                hint=f"Leave it out. Whoever runs the gateway can allow it: gateway.engine_fields: [{name}].",
            )
