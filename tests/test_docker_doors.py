"""As shipped, nobody comes in without a key, and the names that parts and proxies use are known."""

import pytest

from common.own_hosts import OwnHosts, read_names
from kodolly.doctor.docker import interpolate
from kodolly.doctor.doors import gateway_doors, webui_doors
from server.settings import GatewaySettings
from tests.support.docker_files import DOCKER, SERVICES, environment
from webui.settings import WebuiSettings


@pytest.mark.parametrize(
    "values", [{}, {"KODOLLY_SITE": "chat.example.kr", "KODOLLY_ALLOWED_HOSTS": "box, b"}]
)
def test_compose_asks_for_keys_and_knows_its_names(values: dict[str, str | None]) -> None:
    gateway, webui = (environment(SERVICES[name]) for name in ("gateway", "webui"))
    assert gateway["KODOLLY_GATEWAY_REQUIRE_KEYS"] == "true"
    assert interpolate(gateway["KODOLLY_API_KEYS"], {"KODOLLY_API_KEY": "k"}) == '["k"]'
    assert interpolate(webui["KODOLLY_API_KEY"], {"KODOLLY_API_KEY": "k"}) == "k"
    for name, variables in (("gateway", gateway), ("webui", webui)):
        given = read_names(interpolate(variables[f"KODOLLY_{name.upper()}_ALLOWED_HOSTS"], values))
        assert isinstance(given, tuple)
        own = OwnHosts("::", given)
        hosts = [name, "localhost:8000", "172.18.0.5:8000", "[fd00::5]:8000"]
        if values:
            hosts += ["chat.example.kr", "box:7860", "b"]
        assert [host for host in hosts if not own.owns(host.encode())] == []
        assert not own.owns(b"rebind.test")
        assert not own.owns(b"")


def test_kubernetes_asks_for_keys() -> None:
    manifest = (DOCKER / "kubernetes" / "base" / "gateway.yaml").read_text(encoding="utf-8")
    assert '{name: KODOLLY_GATEWAY_REQUIRE_KEYS, value: "true"}' in manifest


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, "ok"),
        ({"host": "0.0.0.0"}, "warn"),
        ({"host": "::"}, "warn"),
        ({"host": "0.0.0.0", "api_keys": [""]}, "warn"),
        ({"host": "0.0.0.0", "api_keys": ["k"]}, "ok"),
        ({"host": "0.0.0.0", "require_keys": True}, "ok"),
        ({"allowed_hosts": "*"}, "warn"),
    ],
)
def test_doctor_tells_who_may_come_in(settings: dict[str, object], level: str) -> None:
    levels = {finding.level for finding in gateway_doors(GatewaySettings.model_validate(settings))}
    assert ("warn" in levels) == (level == "warn")
    pages = [*webui_doors(WebuiSettings.model_validate({"host": settings.get("host", "127.0.0.1")}))]
    assert bool(pages) == ("host" in settings)
