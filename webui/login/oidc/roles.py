"""Who may do what: values that the provider tells of a user, by the names that the settings give them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from webui.login.visitor import Role

EVERYBODY = "*"


@dataclass(frozen=True)
class Roles:
    """Which values of which claims make an administrator, a rater, a member."""

    claims: tuple[str, ...]
    admins: frozenset[str]
    raters: frozenset[str]
    members: frozenset[str]
    """Or EVERYBODY."""

    def named(self, claims: Mapping[str, object]) -> list[str]:
        """Those of a user's values that the settings name; all others are nobody's business."""
        known = self.admins | self.raters | self.members
        told = {value for claim in self.claims for value in _values(claims, claim)}
        return sorted(told & known - {EVERYBODY})

    def role(self, named: list[str]) -> Role | None:
        """What somebody is of whom the provider told `named`; None for whoever may not come in."""
        mine = frozenset(named)
        if mine & self.admins:
            return "admin"
        if mine & self.raters:
            return "rater"
        return "member" if EVERYBODY in self.members or mine & self.members else None

    def lacks(self, claims: Mapping[str, object]) -> bool:
        """Whether one of the claims is not there at all."""
        return any(_found(claims, claim) is None for claim in self.claims)


def _values(claims: Mapping[str, object], claim: str) -> Iterator[str]:
    """An address counts once the provider has seen that it is the user's (OpenID Connect Core, 5.7)."""
    if claim == "email" and claims.get("email_verified") not in (True, "true"):
        return
    found = _found(claims, claim)
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, str):
            yield value


def _found(claims: Mapping[str, object], claim: str) -> object:
    """The claim of that name; or, with dots in it, what lies within objects (`realm_access.roles`)."""
    if claim in claims:
        return claims[claim]
    within: object = claims
    for part in claim.split("."):
        within = within.get(part) if isinstance(within, Mapping) else None
    return within
