"""Nothing that people read or paste into bug reports holds a password out of a URL, a header or a flag."""

import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InternalError, UserError
from common.logs import JsonFormatter, TextFormatter, with_fields
from common.redact import redacted_text, redacted_url
from common.settings import load_settings
from common.settings_display import displayed
from kodolly.commands.config import command as config
from kodolly.doctor.doctor import Finding
from server.settings import GatewaySettings

SECRET = "pw-secret"

passwords = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8).map(
    lambda text: quote(f"{text}{SECRET}{text}", safe="")
)
raw_passwords = st.text("ab/?#@:&=%[]", max_size=8).map(lambda text: f"{text}{SECRET}{text}")
users = st.text("abc-_.~09", max_size=5)
hosts = st.sampled_from(["h", "db.example.kr", "10.0.0.7", "[::1]", "[fd00::7]", ""])
ports = st.sampled_from(["", ":5432", ":broken", ":99999"])
schemes = st.sampled_from(["postgresql", "postgresql+asyncpg", "http", "https", "mysql", ""])
paths = st.sampled_from(["", "/", "/v1", "/d?sslmode=require", "?api-version=1"])
secret_names = st.sampled_from(
    [
        "password",
        "sslpassword",
        "pass%77ord",
        "pwd",
        "api_key",
        "API-Key",
        "apikey",
        "key",
        "X-Subscription-Key",
        "token",
        "access_token",
        "client_secret",
        "sig",
        "X-Amz-Signature",
        "code",
    ]
)


@given(schemes, users, passwords | raw_passwords, hosts, ports, paths)
def test_a_password_never_shows(
    scheme: str, user: str, password: str, host: str, port: str, path: str
) -> None:
    url = f"{scheme}://{user}:{password}@{host}{port}{path}"
    assert redacted_url(url) == f"{scheme}://***@{host}{port}{path}"
    assert SECRET not in redacted_text(f"the store {url!r}, which was named, is away")


@given(schemes, hosts, ports)
def test_a_token_in_the_place_of_the_user_does_not_show(scheme: str, host: str, port: str) -> None:
    assert redacted_url(f"{scheme}://{SECRET}@{host}{port}/d") == f"{scheme}://***@{host}{port}/d"


@given(schemes, hosts, secret_names, passwords, st.sampled_from(["?", "?a=b&", "?&&", "#", "?x#"]))
def test_a_secret_parameter_does_not_show(scheme: str, host: str, name: str, value: str, start: str) -> None:
    url = f"{scheme}://{host}/v1{start}{name}={value}&api-version=2024-10-21"
    assert redacted_url(url) == f"{scheme}://{host}/v1{start}{name}=***&api-version=2024-10-21"
    assert SECRET not in redacted_text(f"at {url}.")


@given(schemes, hosts, ports, paths)
def test_a_url_without_secrets_stays_as_it_is(scheme: str, host: str, port: str, path: str) -> None:
    url = f"{scheme}://{host}{port}{path}"
    assert redacted_url(url) == url
    assert redacted_text(f"<{url}> max_tokens=5 me@example.kr") == f"<{url}> max_tokens=5 me@example.kr"


@given(st.text())
def test_any_text_can_be_redacted(text: str) -> None:
    redacted_url(text)
    assert redacted_text(redacted_text(text)) == redacted_text(text)


@pytest.mark.parametrize(
    "text", [f"u:{SECRET}@proxy:3128", f"//u:{SECRET}@h", f"https://h/?to=http://u:{SECRET}@h"]
)
def test_other_ways_to_write_a_password_do_not_show_it(text: str) -> None:
    assert SECRET not in redacted_url(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            {"headers": {"X-Api-Key": SECRET, "X-Team": "nlp"}},
            {"headers": {"X-Api-Key": "***", "X-Team": "nlp"}},
        ),
        (("--api-key", SECRET, "--port", "1"), ("--api-key", "***", "--port", "1")),
        (
            [f"--hf-token={SECRET}", "--max-num-batched-tokens=8"],
            ["--hf-token=***", "--max-num-batched-tokens=8"],
        ),
        ({"a": [{"b": (f"http://u:{SECRET}@h",)}]}, {"a": [{"b": ("http://***@h",)}]}),
        ({"max_tokens": "max_completion_tokens"}, {"max_tokens": "max_completion_tokens"}),
        ({"n": 1, "none": None, "on": True}, {"n": 1, "none": None, "on": True}),
    ],
)
def test_settings_are_shown_without_their_secrets(value: Any, shown: Any) -> None:
    assert displayed(value) == shown


YAML = f"""
gateway:
  database_url: postgresql://u:{SECRET}@h/d?sslpassword={SECRET}
  otlp_endpoint: http://user:{SECRET}@h:4318
  openai_base_url: https://user:{SECRET}@h/v1
  controllers: ["http://u:{SECRET}@127.0.0.1:21001"]
  external:
    - name: upstage
      base_url: https://api.upstage.ai/v1?api_key={SECRET}
      key_env: UPSTAGE_API_KEY
      models: [solar-pro]
      proxy: "user:{SECRET}@proxy:3128"
      headers: {{X-Api-Key: {SECRET}, X-Team: nlp}}
worker:
  engine_flags: [--api-key, {SECRET}]
webui:
  gateway_url: http://u:{SECRET}@127.0.0.1:8000
"""


def test_config_show_can_be_pasted_into_a_bug_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kodolly.yaml").write_text(YAML)
    done = CliRunner().invoke(config, ["show"], catch_exceptions=False)
    assert SECRET not in done.output
    for words in (
        "postgresql://***@h/d?sslpassword=***",
        "http://***@h:4318",
        "'X-Team': 'nlp'",
        "***@proxy:3128",
    ):
        assert words in done.output


@pytest.mark.parametrize("port", ["8000 [", "eighty", "[8000"])
def test_broken_settings_are_told_without_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kodolly.yaml").write_text(f"gateway: {{database_url: 'pg://u:{SECRET}@h/d', port: {port}}}")
    with pytest.raises(UserError) as caught:
        load_settings(GatewaySettings)
    assert SECRET not in str(caught.value)


def test_errors_findings_and_log_lines_hide_passwords() -> None:
    words = f"no answer from http://u:{SECRET}@h:1/v1?token={SECRET} in time"
    hidden = "no answer from http://***@h:1/v1?token=*** in time"
    error = InternalError(words, hint=words)
    assert (error.message, error.hint, str(error), error.args) == (
        hidden,
        hidden,
        f"{hidden} {hidden}",
        (hidden,),
    )
    assert Finding("fail", "part", words).found == hidden
    for formatter in (TextFormatter(), JsonFormatter()):
        try:
            raise ValueError(words)
        except ValueError as cause:
            info = (ValueError, cause, cause.__traceback__)
        record = logging.getLogger("part").makeRecord(
            "part", logging.INFO, "", 0, "%s", (words,), info, extra=with_fields(to=words, list=[words], 수=1)
        )
        line = formatter.format(record)
        assert SECRET not in line
        assert hidden in line
        if isinstance(formatter, JsonFormatter):
            event = json.loads(line)
            assert (event["message"], event["list"], event["수"]) == (hidden, [hidden], 1)


def test_a_json_line_stays_json_whatever_stands_in_its_urls() -> None:
    for text in ('://u:"p"@h', "://\\@h\\", '://a:\n"\\@b?key="\\"&x', '://h?token=\\"'):
        record = logging.getLogger("part").makeRecord("part", logging.INFO, "", 0, text, (), None)
        assert json.loads(JsonFormatter().format(record))["level"] == "info"
