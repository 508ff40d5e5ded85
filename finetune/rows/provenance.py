"""Where a row comes from."""

import msgspec


class Provenance(msgspec.Struct, frozen=True):
    """A row's source and licence, from its `meta`."""

    source: str
    licence: str
    """"" where it is unknown."""
