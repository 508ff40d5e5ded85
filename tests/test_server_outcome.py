"""What an attempt's outcome says of its upstream, and what an upstream is sent."""

from typing import Any, cast

import pytest
from pydantic import SecretStr

from common.errors import BadRequest, Overloaded, UpstreamFailed
from common.registry import ModelCard
from server.client.large_body import ThinBody
from server.client.request import parse_head
from server.client.routes import CHAT
from server.inference.job import Job
from server.inference.outbound import outbound
from server.inference.outcome import (
    ANSWERED,
    Abandoned,
    CutOff,
    Interrupted,
    Outcome,
    Refused,
    Unanswered,
    did_well,
)
from server.settings import ExternalProvider
from server.upstreams.upstream import Reported, Upstream

FAILED = UpstreamFailed("It failed.")


@pytest.mark.parametrize(
    ("outcome", "well"),
    [
        (ANSWERED, True),
        (Refused(BadRequest("No.")), True),
        (Refused(FAILED), False),
        (Unanswered(FAILED), False),
        (Unanswered(FAILED, stale=True), False),
        (Unanswered(Overloaded("Full.")), None),
        (CutOff(BadRequest("An error event.")), False),
        (Interrupted(FAILED), False),
        (Abandoned(), None),
    ],
)
def test_an_upstream_is_judged_by_the_outcome_alone(outcome: Outcome, well: bool | None) -> None:
    assert did_well(outcome) is well


def test_every_outcome_is_frozen() -> None:
    with pytest.raises(AttributeError):
        cast(Any, CutOff(FAILED)).error = None


BODY = b'{"model":"dolly","stream":true,"messages":[]}'
WORKER = Upstream("w", "worker", Reported("http://w:1", SecretStr(""), {"dolly": ModelCard(name="dolly")}))
PROVIDER = Upstream(
    "p",
    "external",
    Reported("http://p/v1", SecretStr("k"), {"dolly": ModelCard(name="dolly-2024")}),
    ExternalProvider(name="p", base_url="http://p/v1", key_env="K", models=("dolly",)),
)


def job() -> Job:
    return Job(
        route=CHAT,
        client=cast(Any, None),
        request_id="r",
        key_id="k",
        stream=True,
        headers=b"",
        forwarded=b"",
        body=ThinBody(BODY, parse_head(BODY)),
        began=0.0,
        deadline=1.0,
    )


def test_what_one_upstream_is_sent_says_nothing_of_the_next() -> None:
    """A provider's answers are renamed and its counts stay; not so a worker's that is asked after it."""
    asked = job()
    alone = outbound(asked, "dolly", WORKER)
    at_provider = outbound(asked, "dolly", PROVIDER)
    assert (at_provider.rename is not None, at_provider.cuts_counts, at_provider.cuts_total) == (
        True,
        False,
        True,
    )
    assert b'"model":"dolly-2024"' in at_provider.body
    after_it = outbound(asked, "dolly", WORKER)
    assert after_it == alone
    assert (alone.rename, alone.cuts_counts, alone.cuts_total) == (None, True, True)
