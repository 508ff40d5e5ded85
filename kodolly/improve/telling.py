"""A turn tells the gateway how far it has come, so that administrators see it on a page. The turn goes on
whatever becomes of that: its journal is the truth."""

from datetime import UTC, datetime

import httpx2

from common.improvement import MOST_WORDS, FoundGate, ImprovementTurn, Step
from kodolly.clients.feedback_pages import admin_headers
from kodolly.improve.journal import Journal
from kodolly.operate.deploy import Say

TIMEOUT_S = 5.0


def tell_gateway(journal: Journal, step: Step | None, say: Say) -> None:
    """Tell what the turn is about now; None when it is over. A gateway that does not take it is named to
    `say`."""
    turn = _told(journal, step)
    turn_id = f"{turn.turn}-{int(journal.content.begun)}"
    url = f"{journal.content.plan.gateway}/admin/turns/{turn_id}"
    body = turn.model_dump(mode="json")
    try:
        answer = httpx2.put(url, json=body, headers=admin_headers(), timeout=TIMEOUT_S, trust_env=False)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        say("The gateway does not answer; its page of turns is behind.")
        return
    if answer.status_code in (401, 403):
        say("The gateway's page of turns does not show this one: that takes an admin key (KODOLLY_API_KEY).")
    elif answer.is_error:
        say(f"The gateway's page of turns does not show this step: it answers {answer.status_code}.")


def _told(journal: Journal, step: Step | None) -> ImprovementTurn:
    content = journal.content
    gates = content.steps.get("gates", [])
    return ImprovementTurn(
        model=content.plan.name,
        turn=journal.directory.name,
        begun=datetime.fromtimestamp(content.begun, UTC),
        checkpoint=content.plan.checkpoint,
        method=content.plan.method,
        why=content.plan.why[:MOST_WORDS],
        counts=content.plan.counts,
        step=step,
        gates=tuple(FoundGate(**gate | {"words": gate["words"][:MOST_WORDS]}) for gate in gates),
        decision=content.decision,
        words=content.words[:MOST_WORDS],
    )
