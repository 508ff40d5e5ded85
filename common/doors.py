"""What each route asks of whoever comes. A route declares its door; the guard reads it before the body."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from starlette.routing import BaseRoute, Match
from starlette.types import Scope

Access = Literal["public", "key", "key+model", "admin"]
"""`key+model`: the body names a model, and the key must be allowed to use it."""
Content = Literal["json", "form", "either"]
JSON_BYTES = 256 * 1024
"""Largest body of a route that only controls something."""
BODY_S = 30.0
DOOR = "__door__"
MOST_KEPT = 500
KEPT_CHARACTERS = 200
"""Of a path whose door is kept."""
F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Door:
    """One route's conditions."""

    access: Access
    content: Content = "json"
    """`form` is multipart/form-data; `either` is JSON or a form."""
    body_bytes: int | None = JSON_BYTES
    """Largest body; None is as much as the server takes at all."""
    body_s: float | None = BODY_S
    """Longest time for a body to arrive, in seconds; None is as long as the server waits at all."""
    limited: bool = True
    """Counts towards what its key may do; not where the answer comes from memory or tells of the key."""
    any_host: bool = False
    """Open to requests under another host name and to pages of other sites, too: it reveals nothing."""


PUBLIC = Door("public", any_host=True)
"""Of pages and documents that are the same for everybody."""
UNKNOWN = Door("key", limited=False)
"""Of paths that no route has: strangers are not told so."""


def door(
    access: Access,
    *,
    content: Content = "json",
    body_bytes: int | None = JSON_BYTES,
    body_s: float | None = BODY_S,
    limited: bool = True,
    any_host: bool = False,
) -> Callable[[F], F]:
    """Declare the door of an endpoint; stands below the route's decorator."""

    def declare(endpoint: F) -> F:
        declared = Door(access, content, body_bytes, body_s, limited, any_host)
        setattr(endpoint, DOOR, declared)
        return endpoint

    return declare


@dataclass(frozen=True, slots=True)
class PathEntry:
    """What stands at a path."""

    door: Door
    methods: frozenset[str] = frozenset()
    """Empty where the path is not known, or takes whatever comes."""


class Doors:
    """The doors of an app's routes."""

    def __init__(self, routes: Iterable[BaseRoute], declared: Mapping[str, Door]) -> None:
        """`declared` is path -> door for routes that others have made: documents, mounted apps.

        Raises TypeError for a route without a door: nobody would stand in front of it.
        """
        self._routes = list(routes)
        self._doors: list[Door] = []
        self._found: dict[tuple[str, str, str], PathEntry] = {}
        """What stands at addresses that were asked for: to try all routes takes longer than most answers."""
        for route in self._routes:
            path = getattr(route, "path", "")
            found = getattr(getattr(route, "endpoint", None), DOOR, None) or declared.get(path)
            if found is None:
                raise TypeError(f"The route {path!r} declares no door: put @door(...) below its decorator.")
            self._doors.append(found)

    def find(self, scope: Scope) -> PathEntry:
        """The door of the route that answers, or would with another method; a key's where there is none."""
        asked = (scope["method"], scope["path"], scope.get("root_path", ""))
        known = self._found.get(asked)
        if known is None:
            known = self._look(scope)
            if len(scope["path"]) <= KEPT_CHARACTERS:  # what clients make up takes no memory
                if len(self._found) >= MOST_KEPT:
                    self._found.clear()
                self._found[asked] = known
        return known

    def _look(self, scope: Scope) -> PathEntry:
        methods: set[str] = set()
        found: Door | None = None
        whole = False
        for route, its_door in zip(self._routes, self._doors, strict=True):
            match, _ = route.matches(scope)
            if match is Match.NONE:
                continue
            if found is None or (match is Match.FULL and not whole):
                found, whole = its_door, match is Match.FULL
            methods |= getattr(route, "methods", None) or set()
        return PathEntry(found or UNKNOWN, frozenset(methods))
