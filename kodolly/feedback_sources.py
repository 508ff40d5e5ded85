"""Whose answers a training may use, as far as the gateway knows its models."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from kodolly.clients.gateway_access import fetch_status

if TYPE_CHECKING:
    from finetune.data.stored_feedback import Sources


def sources_of(gateway: str, without: Collection[str], allowed: Collection[str]) -> "Sources":
    """Providers' models are left out, but for those in `allowed`. Raises UserError."""
    from finetune.data.stored_feedback import Sources

    status = fetch_status(gateway)
    external = {model.id for model in status.models if model.kind == "external"}
    for provider in status.providers:
        # Also one whose key has been taken away since.
        external |= {f"{provider.name}/{name}" for name in provider.models}
        external |= set(provider.models) - set(provider.hidden)
    return Sources(frozenset(external), frozenset(without), frozenset(allowed))
