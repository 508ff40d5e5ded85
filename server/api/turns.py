"""/admin/turns: how far turns of `kodolly improve` have come, as they have told themselves."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from common.doors import door
from common.improvement import TURN_ID, ImprovementTurn
from server.api.public import GatewayDep

router = APIRouter(prefix="/admin/turns", tags=["admin"])


@router.put("/{turn_id}", status_code=204)
@door("admin")
async def put_turn(
    turn_id: Annotated[str, Path(pattern=TURN_ID)], turn: ImprovementTurn, gateway: GatewayDep
) -> Response:
    """Keep what a turn says of itself."""
    await gateway.turns.put(turn_id, turn)
    return Response(status_code=204)


@router.get("")
@door("admin")
async def list_turns(gateway: GatewayDep) -> dict[str, object]:
    """The hundred that began last, the newest first."""
    return {"object": "list", "data": await gateway.turns.newest()}
