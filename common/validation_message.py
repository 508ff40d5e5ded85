"""What pydantic found wrong with a body, as a client reads it: the field as the client wrote it, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import ApiError, BadRequest

_PLACES = ("body", "query", "path", "header")


def invalid_body(errors: Sequence[Mapping[str, Any]], given: object) -> ApiError:
    """The error for the first field of `errors`. `given` is the body that was parsed, or None."""
    first = errors[0]
    if first["type"] == "json_invalid":
        return BadRequest("The body is not valid JSON.", code="invalid_json")
    fields = [_field(one, given) for one in errors]
    # A value that may be of several kinds has an error for each: the kind that fits furthest tells most.
    within = [one for one in fields if one[: len(fields[0])] == fields[0]]
    field = max(within, key=len)
    told = [one["msg"] for one, place in zip(errors, fields, strict=True) if place == field]
    where, message = ".".join(map(str, field)), ", or: ".join(dict.fromkeys(told) if field else told[:1])
    return BadRequest(
        f"{where}: {message}." if where else f"{message}.", param=where or None, code="invalid_value"
    )


def _field(error: Mapping[str, Any], given: object) -> tuple[int | str, ...]:
    place = tuple(error["loc"])
    # The first part says where the field stands; one below it may have such a name, too.
    in_body = not place or place[0] not in _PLACES[1:]
    inside = place[1:] if place and place[0] in _PLACES else place
    if in_body and isinstance(given, Mapping):
        inside = _written(inside, given, missing=error["type"] == "missing")
    return inside


def _written(place: tuple[int | str, ...], given: object, *, missing: bool) -> tuple[int | str, ...]:
    """Without the names that pydantic gives to the members of a union, which no client has written."""
    kept: list[int | str] = []
    at = given
    for number, part in enumerate(place, start=1):
        if _holds(at, part):
            at = at[part]  # type: ignore[index]  # it is one that has members
        elif not (missing and number == len(place)):
            continue
        kept.append(part)
    return tuple(kept)


def _holds(value: object, part: int | str) -> bool:
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
