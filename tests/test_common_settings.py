"""Settings: which layer wins, where a value came from, and what a broken one says."""

from pathlib import Path

import pytest

from common.errors import UserError
from common.settings import PartSettings, load_settings, load_with_sources
from kodolly.stack.parts import UpSettings
from server.settings import GatewaySettings, provider_keys
from webui.settings import WebuiSettings


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "KODOLLY_JOIN_TOKEN",
        "KODOLLY_API_KEYS",
        "KODOLLY_STATE_DIR",
    ):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_flags_win_over_environment_over_dotenv_over_file(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / "kodolly.yaml").write_text(
        "gateway: {port: 1001, idle_timeout_s: 1, connect_timeout_s: 1, host: 127.0.0.9}\n"
    )
    (empty_directory / ".env").write_text(
        "KODOLLY_GATEWAY_IDLE_TIMEOUT_S=2\nKODOLLY_GATEWAY_CONNECT_TIMEOUT_S=2\nOTHER=1\nKODOLLY_WORKER_PORT=5\n"
    )
    monkeypatch.setenv("KODOLLY_GATEWAY_CONNECT_TIMEOUT_S", "3")
    settings, sources = load_with_sources(GatewaySettings, {"host": "127.0.0.4", "port": None})
    assert (settings.port, settings.idle_timeout_s, settings.connect_timeout_s, settings.host) == (
        1001,
        2,
        3,
        "127.0.0.4",
    )
    assert sources["port"] == "kodolly.yaml"
    assert sources["idle_timeout_s"] == ".env"
    assert sources["connect_timeout_s"] == "environment"
    assert sources["host"] == "flag"
    assert sources["total_timeout_s"] == "default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gateway: {prot: 1}", "unknown setting gateway.prot"),
        ("gateway: {port: eighty}", r"gateway\.port \(from kodolly.yaml\)"),
        ("gateway: [1]", "must hold `name: value` lines"),
        ("[1, 2]", "must hold sections"),
        ("gateway: {port: [", "cannot be read"),
        ("gateway: {join_token: abc}", "is a secret"),
        ("gateway: {api_keys: [abc]}", "is a secret"),
    ],
)
def test_a_broken_settings_file_says_what_is_wrong(empty_directory: Path, text: str, message: str) -> None:
    (empty_directory / "kodolly.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_settings(GatewaySettings)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "variable", "setting"),
    [
        (GatewaySettings, "KODOLLY_API_KEYS", "gateway.api_keys"),
        (GatewaySettings, "KODOLLY_GATEWAY_REQUIRE_KEYS", "gateway.require_keys"),
        (WebuiSettings, "KODOLLY_WEBUI_LOGIN", "webui.login"),
    ],
)
def test_an_empty_variable_opens_no_door(
    part: type[PartSettings],
    variable: str,
    setting: str,
    empty_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (empty_directory / ".env").write_text(f"{variable}=\n")
    with pytest.raises(UserError, match=f"{variable} is there and empty: {setting}"):
        load_settings(part)
    (empty_directory / ".env").unlink()
    monkeypatch.setenv(variable, "")
    with pytest.raises(UserError, match=f"{variable} is there and empty: {setting}"):
        load_settings(part)


def test_an_empty_variable_leaves_what_another_layer_says(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / "kodolly.yaml").write_text("gateway: {require_keys: true}\n")
    for variable in ("KODOLLY_GATEWAY_REQUIRE_KEYS", "KODOLLY_GATEWAY_DOCUMENTS_URL"):
        monkeypatch.setenv(variable, "")
    settings = load_settings(GatewaySettings)
    assert (settings.require_keys, settings.documents_url) == (True, None)


def test_a_settings_file_that_was_named_must_exist(empty_directory: Path) -> None:
    with pytest.raises(UserError, match=r"other\.yaml does not exist"):
        load_settings(GatewaySettings, config=Path("other.yaml"))


def test_the_provider_key_comes_from_dotenv_and_is_never_shown(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_directory / ".env").write_text("OPENAI_API_KEY=sk-secret\n")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    settings = load_settings(GatewaySettings)
    keys = provider_keys(settings)
    assert keys["openai"].get_secret_value() == "sk-secret"
    assert "sk-secret" not in f"{settings} {keys}"
    assert settings.providers()[0].base_url == "http://127.0.0.1:9/v1"


def test_the_example_settings_file_is_valid() -> None:
    example = Path(__file__).parents[1] / "examples" / "kodolly.yaml"
    gateway, up = load_settings(GatewaySettings, config=example), load_settings(UpSettings, config=example)
    assert gateway.external[0].key_env == "OPENAI_API_KEY"
    assert [worker.name for worker in up.workers] == [None, "before"]
