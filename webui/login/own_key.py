"""What the gateway says of the key of whoever is served."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from webui.failures import Failure
from webui.gateway_client import GatewayClient, GatewayError
from webui.login.visitor import Visitor, serving

ASKED_EVERY_S = 60.0
"""How long a page that stays open is served before the gateway is asked again whether it takes the key."""


class OwnKey(BaseModel):
    """GET /v1/key."""

    model_config = ConfigDict(extra="ignore")
    id: str
    name: str
    admin: bool = False
    expires: AwareDatetime | None = None

    @property
    def anonymous(self) -> bool:
        """Whether the gateway asks for no key."""
        return self.id == "anonymous"


async def own_key(gateway: GatewayClient, visitor: Visitor) -> OwnKey:
    """The visitor's key. Raises GatewayError, of kind `login_ended` where the gateway does not take it."""
    with serving(visitor):
        return parsed_key(await gateway.get("/v1/key"))


def parsed_key(told: object) -> OwnKey:
    """A key as the gateway tells it. Raises GatewayError for what is none."""
    try:
        return OwnKey.model_validate(told)
    except ValidationError as error:
        message = "The gateway's answer is no key."
        raise GatewayError(Failure(kind="other", message=message)) from error
