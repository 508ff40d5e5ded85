"""Turns of `kodolly improve`, as the gateway keeps what they say of themselves."""

from pydantic import ValidationError

from common.improvement import StoredTurn
from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError


async def read_turns(client: GatewayClient) -> list[StoredTurn]:
    """The newest first. Raises GatewayError."""
    told = await client.get("/admin/turns")
    try:
        return [StoredTurn.model_validate(row) for row in told["data"]]
    except (KeyError, TypeError, ValidationError) as error:
        message = "The gateway's list of turns is of another version."
        raise GatewayError(Failure(kind="other", message=message)) from error
