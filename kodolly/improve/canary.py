"""The steps in which people decide: the new checkpoint answers a part of them, and takes over or goes."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from common.leaderboard.evidence import Decision, decide
from common.registry import DRAIN_TIMEOUT_S, Sticky, WorkerRecord
from finetune.data.stored_feedback import StoredVote, parse_feedback
from kodolly.clients.feedback_pages import fetch_feedback
from kodolly.improve.journal import Journal
from kodolly.improve.training import CHECKPOINT
from kodolly.operate.canary import Site, deploy_for_some, promote, rollback
from kodolly.operate.deploy import Deployment
from kodolly.operate.drain import drain_workers

LOOK_EVERY_S = 10.0
GONE_S = 60.0
"""After so long without a ready worker the canary is withdrawn."""
READY_S = 900.0


@dataclass(frozen=True)
class CanaryVerdict:
    """The decision about the canary, with its reason."""

    promote: bool
    exit_code: int
    words: str


WITHDRAWN, DIED, BY_HAND = 16, 17, 18
"""Exit codes: the canary was withdrawn, has died, or was ended by hand."""


def start(journal: Journal, site: Site) -> None:
    """Let the new checkpoint answer a share of the traffic. Raises UserError."""
    plan, options = journal.content.plan, journal.content.options
    sticky: Sticky = next(one for one in get_args(Sticky) if one == options.sticky)
    if _is_ours(journal, site):
        return
    split = site.snapshot().splits.get(plan.name)
    if split is not None and _canary_is_unknown(journal, site) and split.arms[-1].model == canary_of(journal):
        site.say("ending the split of an attempt that was broken off")
        rollback(site, plan.name, _deployment(journal))
    left = _canary_workers(journal, site)
    if left and plan.name not in site.snapshot().splits:
        site.say("stopping the canary of an attempt that was broken off")
        drain_workers(site.controllers, left, DRAIN_TIMEOUT_S, site.say)
    deploy_for_some(site, _deployment(journal), options.share, sticky)


def watch(
    journal: Journal,
    site: Site,
    *,
    wait: bool,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> CanaryVerdict | None:
    """Until people have decided, the canary has died or the time is over. None without `wait`, when it is
    not decided yet. Raises UserError."""
    gone_since: float | None = None
    said = ""
    while True:
        if not _is_ours(journal, site):
            return _ended_by_hand(journal, site)
        if _alive(journal, site):
            gone_since = None
            verdict, words = _by_votes(journal, now())
            if verdict is not None:
                return verdict
            if words != said:
                site.say(words)
                said = words
            if not wait:
                return None
        else:
            gone_since = time.monotonic() if gone_since is None else gone_since
            if time.monotonic() - gone_since > GONE_S:
                words = f"the canary's worker has not been ready for {GONE_S:.0f} s"
                return CanaryVerdict(False, DIED, words)
        sleep(LOOK_EVERY_S)


def settle(journal: Journal, site: Site, verdict: CanaryVerdict) -> None:
    """Promote or withdraw, as was decided; can be repeated wherever it was broken off. Raises UserError."""
    name = journal.content.plan.name
    limits = replace(_deployment(journal), args=())
    if _is_ours(journal, site):
        if verdict.promote:
            promote(site, name, limits)
        else:
            rollback(site, name, limits)
    _clear(journal, site)


def _clear(journal: Journal, site: Site) -> None:
    """What is left of the canary when its end was broken off behind the end of the split."""
    name, ours = journal.content.plan.name, _place(journal)
    if name in site.snapshot().splits:
        return
    if left := _canary_workers(journal, site):
        drain_workers(site.controllers, left, DRAIN_TIMEOUT_S, site.say)
    history = site.deployed().of(name)
    if history.canary is not None and history.canary.checkpoint == ours:
        site.deployed().remember(name, replace(history, canary=None))


def canary_of(journal: Journal) -> str:
    """The model that the new checkpoint is served as."""
    return f"{journal.content.plan.served}-canary"


def decision(votes: Iterable[StoredVote], new: str, old: str) -> Decision:
    """What blind votes between two checkpoints say, one voice for each rater and question, the first."""
    seen: set[tuple[str, str]] = set()
    outcomes: list[bool] = []
    for vote in votes:
        sides = {vote.left.checkpoint, vote.right.checkpoint}
        voice = (vote.rater, vote.question)
        if not vote.blind or sides != {new, old} or vote.choice not in ("left", "right") or voice in seen:
            continue
        seen.add(voice)
        chosen = vote.left if vote.choice == "left" else vote.right
        outcomes.append(chosen.checkpoint == new)
    return decide(outcomes)


def _by_votes(journal: Journal, now: float) -> tuple[CanaryVerdict | None, str]:
    """(verdict, if there is one; how it stands, in words)."""
    content = journal.content
    votes = fetch_feedback(content.plan.gateway, "votes")
    found = decision(parse_feedback(votes, []).votes, str(content.steps["merge"]), content.plan.checkpoint)
    share = f"the new checkpoint won {found.share.value:.0%} of {found.votes} blind votes"
    if found.winner == 1:
        return CanaryVerdict(True, 0, share), share
    if found.winner == -1:
        return CanaryVerdict(False, WITHDRAWN, share), share
    over = now - content.at["canary"] > content.options.days * 86400
    if over:
        words = f"{share}, and after {content.options.days:g} days it is not decided"
        return CanaryVerdict(False, WITHDRAWN, words), words
    more = f"; about {found.more} more are needed" if found.more is not None else ""
    return None, f"not decided: {share}{more}"


def _is_ours(journal: Journal, site: Site) -> bool:
    """Whether the name's traffic is split with this turn's checkpoint."""
    name = journal.content.plan.name
    canary = site.deployed().of(name).canary
    ours = _place(journal)
    return name in site.snapshot().splits and canary is not None and canary.checkpoint == ours


def _ended_by_hand(journal: Journal, site: Site) -> CanaryVerdict:
    served = site.deployed().of(journal.content.plan.name).served
    if served and served[-1].checkpoint == _place(journal):
        return CanaryVerdict(True, 0, "somebody promoted the canary by hand")
    return CanaryVerdict(False, BY_HAND, "somebody took the canary away by hand")


def _canary_is_unknown(journal: Journal, site: Site) -> bool:
    return site.deployed().of(journal.content.plan.name).canary is None


def _alive(journal: Journal, site: Site) -> bool:
    return any(record.state == "ready" for record in _canary_workers(journal, site))


def _canary_workers(journal: Journal, site: Site) -> list[WorkerRecord]:
    model = canary_of(journal)
    return [r for r in site.snapshot().workers if model in [card.name for card in r.models]]


def _place(journal: Journal) -> str:
    """The new checkpoint, in the form in which deployments are remembered."""
    return str((journal.directory / CHECKPOINT).resolve())


def _deployment(journal: Journal) -> Deployment:
    plan, options = journal.content.plan, journal.content.options
    return Deployment(plan.name, Path(_place(journal)), None, options.vllm_args, READY_S, DRAIN_TIMEOUT_S)
