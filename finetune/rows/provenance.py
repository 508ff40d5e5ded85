"""Where a row comes from."""

import msgspec


class Provenance(msgspec.Struct, frozen=True):
    """As `meta` of a row says it."""

    source: str
    licence: str
    """"" where it is not known."""
