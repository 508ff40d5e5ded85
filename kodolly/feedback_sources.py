"""Whose answers a training may use, as far as the gateway knows its models."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from kodolly.clients.gateway_access import fetch_status

if TYPE_CHECKING:
    from common.status import Status
    from finetune.data.stored_feedback import Sources


def sources_of(gateway: str, without: Collection[str], allowed: Collection[str]) -> "Sources":
    """Providers' models are left out, but for those in `allowed`. Raises UserError."""
    return sources_in(fetch_status(gateway), without, allowed)


def sources_in(status: "Status", without: Collection[str] = (), allowed: Collection[str] = ()) -> "Sources":
    """The same, from a status that has been fetched already."""
    from finetune.data.stored_feedback import Sources

    external = {model.id for model in status.models if model.kind == "external"}
    for provider in status.providers:
        # Also one whose key has been taken away since.
        external |= {f"{provider.name}/{name}" for name in provider.models}
        external |= set(provider.models) - set(provider.hidden)
    licences = {model.id: model.licence for model in status.models if model.licence}
    return Sources(frozenset(external), frozenset(without), frozenset(allowed), licences)
