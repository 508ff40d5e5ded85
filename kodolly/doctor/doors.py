"""Who may come in: what `kodolly doctor` says of keys and host names."""

from collections.abc import Iterator

from common.own_hosts import is_loopback
from kodolly.doctor.doctor import Finding
from server.settings import GatewaySettings
from webui.settings import WebuiSettings

ANY_NAME = "*"


def gateway_doors(settings: GatewaySettings) -> Iterator[Finding]:
    """Whether strangers can use the gateway, and pages of other sites."""
    given = any(key.get_secret_value() for key in settings.api_keys)
    if settings.require_keys or given:
        yield Finding("ok", "keys", "the gateway lets nobody in without one")
    elif is_loopback(settings.host):
        yield Finding("ok", "keys", f"only this machine reaches the gateway ({settings.host})")
    else:
        found = f"the gateway listens on {settings.host}; while no key exists, whoever reaches it may use all"
        fix = "set gateway.require_keys (KODOLLY_GATEWAY_REQUIRE_KEYS=true), then: kodolly keys create NAME"
        yield Finding("warn", "keys", found, fix)
    yield from _names("gateway", settings.allowed_hosts)


def webui_doors(settings: WebuiSettings) -> Iterator[Finding]:
    """Whether strangers can use the web UI, which asks for no key, and pages of other sites."""
    if not is_loopback(settings.host):
        found = f"it listens on {settings.host} and asks nobody for a key: who reaches it chats on its own"
        fix = "put a proxy that asks for a password in front of it, or listen on 127.0.0.1"
        yield Finding("warn", "web UI", found, fix)
    yield from _names("webui", settings.allowed_hosts)


def _names(part: str, allowed: tuple[str, ...]) -> Iterator[Finding]:
    if ANY_NAME in allowed:
        found = f"{part}.allowed_hosts has *: a page can have any name lead here (DNS rebinding) and then ask"
        yield Finding("warn", "host names", found, f"name the hosts in {part}.allowed_hosts instead")
