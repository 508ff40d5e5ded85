"""Addresses of servers: what may stand in a registration, and what becomes of a record with another."""

import logging
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from common.address import well_formed_address
from common.registry import Delta, Registration, Snapshot

GOOD = [
    "http://127.0.0.1:21002",
    "https://worker-0.worker.kodolly.svc:8443",
    "http://[fd00::5]:21002",
    "http://[::1]",
    "http://my_worker:1",
    "http://localhost:65535",
]
BAD = [
    "http://[bad",
    "http://[bad]:1",
    "http://h:99999",
    "http://h:0",
    "http://h:x",
    "http://h:",
    "http://h:１",
    "http://" + "a" * 70 + ".x",
    "http://\u200b",
    "http://한국.kr:1",
    "http://",
    "http://:80",
    "http://a..b:1",
    "http://-a:1",
    "http://fd00::5:21002",
    "http://999.1.1.1:1",
    "http://1.2.3:1",
    "http://user:password@h:1",
    "http://h:1/v1",
    "http://h:1//",
    "http://h:1?x=1",
    "http://h:1#x",
    "http://h:1\n",
    "http://h\t:1",
    "ftp://h:1",
    "h:1",
    "",
]


@pytest.mark.parametrize("url", GOOD)
def test_an_address_is_taken_with_or_without_a_slash_at_its_end(url: str) -> None:
    assert well_formed_address(url) == well_formed_address(url + "/") == url


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_address_cannot_be_registered(url: str) -> None:
    with pytest.raises(ValidationError, match="it must look like"):
        Registration.model_validate(registration("w", url))


@given(st.text(max_size=40) | st.from_regex(r"https?://[\[\]a-z0-9.:_@/?#%-]{0,30}", fullmatch=True))
def test_what_is_taken_can_be_asked(url: str) -> None:
    try:
        taken = well_formed_address(url)
    except ValueError:
        return
    parts = urlsplit(taken)
    assert parts.hostname
    assert (parts.path, parts.query, parts.fragment, parts.username) == ("", "", "", None)
    assert httpx2.URL(taken).host
    assert parts.netloc.isascii()


def registration(worker_id: str, url: str) -> dict[str, object]:
    models = [{"name": "m"}]
    return {
        "worker_id": worker_id,
        "incarnation": "incarnation-1",
        "url": url,
        "engine_key": "geheim",
        "models": models,
    }


def test_one_record_that_cannot_be_read_does_not_cost_the_others(caplog: pytest.LogCaptureFixture) -> None:
    workers = [registration("old", "http://h:x"), registration("good", "http://h:1"), "nonsense"]
    with caplog.at_level(logging.WARNING):
        snapshot = Snapshot.model_validate({"epoch": "e", "version": 1, "workers": workers})
        delta = Delta.model_validate({"epoch": "e", "version": 2, "changed": workers})
    assert [w.worker_id for w in snapshot.workers] == [w.worker_id for w in delta.changed] == ["good"]
    told = [line for line in caplog.messages if "'old' is left out" in line]
    assert len(told) == 1
    assert "it must look like" in told[0]
    assert "geheim" not in caplog.text
