"""Keys and usage over HTTP: /admin for administrators, GET /v1/key and /v1/usage for a key's own."""

import contextlib
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from common.database import StoreFailed
from common.doors import door
from common.errors import BadRequest, NotFound
from common.leaderboard.judgements import in_utc
from server.accounts.entrance import KeyDep
from server.api.public import GatewayDep

if TYPE_CHECKING:
    from server.accounts.accounts import Accounts
    from server.accounts.keys import Key


router = APIRouter(prefix="/admin", tags=["admin"])
own = APIRouter(tags=["usage"])

KeyLimit = Annotated[int | None, Field(default=None, ge=1, le=2**53)]
Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
"""What PostgreSQL takes."""


class KeyLimits(BaseModel):
    """What a key may do; null is no limit."""

    model_config = ConfigDict(extra="forbid")
    name: Word = Field(min_length=1)
    models: tuple[Word, ...] | None = None
    requests_per_min: KeyLimit
    tokens_per_min: KeyLimit
    concurrency: KeyLimit
    budget_tokens: KeyLimit
    """Tokens per calendar month, UTC."""
    admin: bool = False
    expires: Moment | None = None


class KeyChange(BaseModel):
    """Fields to change; the others stay."""

    model_config = ConfigDict(extra="forbid")
    name: Word | None = Field(default=None, min_length=1)
    models: tuple[Word, ...] | None = None
    requests_per_min: KeyLimit
    tokens_per_min: KeyLimit
    concurrency: KeyLimit
    budget_tokens: KeyLimit
    expires: Moment | None = None
    version: str | None = Field(default=None, max_length=100)
    """Change the key only while it has this version; 409 `key_changed` when it has another by now."""


class KeyInfo(KeyLimits):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    created: datetime | None
    revoked: datetime | None
    version: str
    """Another one after every change."""


class NewKey(KeyInfo):
    """A key that was just made. Its secret is shown this once."""

    secret: str


class KeyOfUser(BaseModel):
    """The key of somebody whom a page logs in."""

    model_config = ConfigDict(extra="forbid")
    name: Word = Field(min_length=1)
    admin: bool = False
    secret_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Digest of the secret, in hexadecimal: the secret itself stays with whoever made it."""


def _info(key: "Key") -> KeyInfo:
    return KeyInfo.model_validate(key)


@router.post("/keys", status_code=201)
@door("admin")
async def create_key(limits: KeyLimits, gateway: GatewayDep) -> NewKey:
    """Make a key."""
    from server.accounts.keys import Key, new_key_id

    fields = limits.model_dump()
    models = fields.pop("models")
    key = Key(id=new_key_id(), models=None if models is None else frozenset(models), **fields)
    secret = await gateway.accounts.keys.create(key)
    await _in_force(gateway.accounts)
    return NewKey(**_info(await _find(gateway.accounts, key.id)).model_dump(), secret=secret)


@router.put("/keys/{key_id}")
@door("admin")
async def put_key(
    key_id: Annotated[str, Path(pattern="^key_[0-9a-f]{16,36}$")], user: KeyOfUser, gateway: GatewayDep
) -> KeyInfo:
    """Make a key of one's own secret, or give a key that is in force this name, role and secret. What it may
    do besides is left alone. 409 `key_revoked` for one that was revoked."""
    from server.accounts.keys import Key

    await gateway.accounts.keys.put(Key(key_id, user.name, admin=user.admin), user.secret_sha256)
    await _in_force(gateway.accounts)
    return _info(await _find(gateway.accounts, key_id))


@router.get("/keys")
@door("admin")
async def list_keys(gateway: GatewayDep) -> dict[str, object]:
    """Every key, also revoked ones."""
    return {"object": "list", "data": [_info(key) for key in await gateway.accounts.keys.all()]}


@router.patch("/keys/{key_id}")
@door("admin")
async def change_key(key_id: str, change: KeyChange, gateway: GatewayDep) -> KeyInfo:
    """Change a key that is in force. With `version`, two who change it at once lose nothing: the later one
    is told so."""
    values = change.model_dump(exclude_unset=True)
    seen = values.pop("version", None)
    if "name" in values and values["name"] is None:
        raise BadRequest("A key needs a name.", param="name")
    if values.get("models") is not None:
        values["models"] = sorted(values["models"])
    if values:
        await gateway.accounts.keys.change(key_id, values, seen)
        await _in_force(gateway.accounts)
    return _info(await _find(gateway.accounts, key_id))


@router.delete("/keys/{key_id}")
@door("admin")
async def revoke_key(key_id: str, gateway: GatewayDep) -> KeyInfo:
    """Take a key out of force: in this process at once, everywhere within two seconds."""
    await gateway.accounts.keys.revoke(key_id)
    await _in_force(gateway.accounts)
    return _info(await _find(gateway.accounts, key_id))


async def _in_force(accounts: "Accounts") -> None:
    """Have this process know a change at once; with a store that fails now, it does as soon as others."""
    with contextlib.suppress(StoreFailed):
        await accounts.follow_keys()


async def _find(accounts: "Accounts", key_id: str) -> "Key":
    for key in await accounts.keys.all():
        if key.id == key_id:
            return key
    raise NotFound(f"There is no key {key_id!r}.", param="key_id")


By = Literal["key", "model", "arm", "checkpoint", "day"]
Day = Annotated[date | None, Query()]


@router.get("/usage")
@door("admin")
async def all_usage(
    gateway: GatewayDep, by: By = "key", since: Day = None, until: Day = None
) -> dict[str, object]:
    """Requests and tokens of all keys, and what they cost where the settings have prices."""
    report = gateway.accounts.report
    rows = await report.priced_rows(by, since, until)
    return {"object": "list", "data": rows, "currency": report.prices.currency if report.prices.of else None}


@own.get("/v1/key")
@door("key", limited=False)
async def own_key(key: KeyDep) -> KeyInfo:
    """What the key that asks is, and may do."""
    return _info(key)


@own.get("/v1/usage")
@door("key", limited=False)
async def own_usage(
    key: KeyDep,
    gateway: GatewayDep,
    by: By = "model",
    since: Day = None,
    until: Day = None,
) -> dict[str, object]:
    """Requests and tokens of the key that asks; this month unless told otherwise."""
    since = since or datetime.now(UTC).date().replace(day=1)
    return {"object": "list", "data": await gateway.accounts.report.rows(by, since, until, key.id)}
