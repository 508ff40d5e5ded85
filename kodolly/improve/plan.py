"""What the next turn would do: the checkpoint that serves a name, what people said of it, and the method."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.checkpoint import CheckpointCard, read_card
from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.settings import load_settings
from common.status import StatusModel
from finetune.data.stored_feedback import parse_feedback
from finetune.improve.method import Choice, choose
from finetune.improve.rows import ROWS, Replay, TurnRows, on_checkpoint, turn_rows
from kodolly.clients.feedback_pages import excluded_ids, fetch_feedback
from kodolly.clients.gateway_access import fetch_status
from kodolly.feedback_sources import sources_of
from kodolly.improve.journal import Journal, Plan, journals
from kodolly.operate.canary import Site, configured, model_behind
from kodolly.operate.deploy import up_has
from kodolly.operate.deployed import ServedCheckpoint
from kodolly.operate.machines import require_reachable, require_served_here
from kodolly.stack.parts import UpSettings, worker_url

NEW_SHARE = 0.2
"""New judgements that a turn needs after one that changed nothing, as a share of those that it had."""


class TooLittle(UserError):
    """There is not enough feedback for a turn yet."""


@dataclass(frozen=True)
class Wanted:
    """What the caller asks for."""

    name: str
    gateway: str
    runs: Path
    checkpoint: Path | None
    """None: where it was deployed from, or as kodolly.yaml has it."""
    replay: Path | None
    """Earlier rows; what earlier turns learnt is added to them."""
    replay_share: float
    """Earlier rows for each new row."""


@dataclass(frozen=True)
class Prepared:
    """A plan with its rows."""

    plan: Plan
    rows: TurnRows
    card: CheckpointCard
    choice: Choice


def prepare(wanted: Wanted, site: Site | None) -> Prepared:
    """Plan a turn; nothing is written. Without `site` nothing will be deployed, and no controller is asked.

    Raises TooLittle when there is not enough to learn from, UserError when a turn cannot begin.
    """
    model = _served_model(wanted)
    served = wanted.name if site is None else _served_here(site, wanted.name)
    base = _directory(wanted, site, served, str(model.checkpoint))
    card = _card(base)
    votes, ratings = (fetch_feedback(wanted.gateway, kind) for kind in ("votes", "ratings"))
    feedback = parse_feedback(votes, ratings)
    own = on_checkpoint(feedback, str(model.checkpoint))
    names = {wanted.name, served, f"{served}-canary"}
    if not len(own):
        raise TooLittle(f"Nobody has judged an answer of {wanted.name}'s checkpoint {model.checkpoint} yet.")
    sources = sources_of(wanted.gateway, (), ())
    kept = frozenset(str(one["id"]) for one in (*votes, *ratings))
    replay = _replay(wanted, str(model.checkpoint), kept)
    rows = turn_rows(feedback, str(model.checkpoint), names, sources, replay)
    judgements = [one.id for one in (*own.unused().votes, *own.unused().ratings)]
    _enough_news(wanted, str(model.checkpoint), judgements)
    chosen = choose(rows.counts())
    if isinstance(chosen, str):
        raise TooLittle(f"Too little feedback on {wanted.name}: {chosen}.", hint=_reasons(rows))
    plan = Plan(
        name=wanted.name,
        served=served,
        gateway=wanted.gateway,
        base=str(base),
        checkpoint=str(model.checkpoint),
        method=chosen.method,
        why=chosen.why,
        counts=asdict(rows.counts()),
        left_out=dict(rows.left_out()),
        judgements=judgements,
        used=sorted(rows.made.used),
        votes=sorted(rows.made.used & {str(vote["id"]) for vote in votes}),
        replayed=len(rows.replay),
    )
    return Prepared(plan, rows, card, chosen)


def _replay(wanted: Wanted, checkpoint: str, kept: frozenset[str]) -> Replay:
    """The rows that were given, and those that earlier turns have taught what serves the name now, without
    those of feedback that is not among the ids `kept`."""
    earlier = tuple(
        turn.directory / ROWS
        for turn in journals(wanted.runs, wanted.name)
        if turn.content.plan.method == "lora"
        and (turn.content.decision == "promoted" or turn.content.steps.get("merge") == checkpoint)
    )
    given = () if wanted.replay is None else (wanted.replay,)
    left_out = excluded_ids(wanted.gateway)
    return Replay(given, wanted.replay_share, left_out, earlier, kept)


def _card(base: Path) -> CheckpointCard:
    card = read_card(base)
    if card is None:
        raise UserError(
            f"{base} has no kodolly.json, so it is not known how it was trained.",
            hint="Tune it with `kodolly train` and `kodolly merge` once; what comes out has one.",
        )
    return card


def serving(gateway: str, name: str) -> StatusModel | None:
    """What the gateway says of a model. Raises UserError."""
    return next((model for model in fetch_status(gateway).models if model.id == name), None)


def _served_model(wanted: Wanted) -> StatusModel:
    model = serving(wanted.gateway, wanted.name)
    if model is None:
        raise UserError(
            f"The gateway knows no model {wanted.name}.", hint="`kodolly models` lists those there are."
        )
    if model.kind == "external":
        raise UserError(f"{wanted.name} is {model.provider}'s model; only one's own can be improved.")
    if model.state != "ready":
        raise UserError(f"{wanted.name} is {model.state}, not ready.", hint="`kodolly ps` shows its workers.")
    if model.checkpoint is None:
        raise UserError(
            f"Which checkpoint answers as {wanted.name} is not known: an attached engine does not say.",
            hint=f"Serve it with `kodolly worker` or `kodolly deploy {wanted.name} CHECKPOINT`.",
        )
    return model


def _served_here(site: Site, name: str) -> str:
    """The model behind a name, which this machine alone serves, and could serve anew. Raises UserError."""
    snapshot = site.snapshot()
    if name in snapshot.splits:
        raise UserError(
            f"{name} has a canary already, which no turn of improvement here has started.",
            hint=f"End that first: `kodolly promote {name}` or `kodolly rollback {name}`.",
        )
    served = model_behind(snapshot, name)
    require_served_here(snapshot, served, site.controllers.urls)
    if not up_has(load_settings(UpSettings, {}, site.config).state_dir, site.controllers):
        old = [record for record in snapshot.workers if served in [card.name for card in record.models]]
        require_reachable(worker_url(site.config), old, site.controllers.urls)
    return served


def _directory(wanted: Wanted, site: Site | None, served: str, identity: str) -> Path:
    """Where the checkpoint that serves the name lies."""
    known: list[ServedCheckpoint | None] = []
    if site is not None:
        known = [*reversed(site.deployed().of(wanted.name).served), configured(site, served)]
    places = [Path(one.checkpoint) for one in known if one is not None]
    for place in [wanted.checkpoint] if wanted.checkpoint is not None else places:
        if (place / "config.json").is_file() and checkpoint_id(place) == identity:
            return place.resolve()
    if wanted.checkpoint is not None:
        raise UserError(f"{wanted.checkpoint} is not the checkpoint {identity} that serves {wanted.name}.")
    raise UserError(
        f"Where the checkpoint {identity} that serves {wanted.name} lies is not known here.",
        hint="Name its directory with --checkpoint.",
    )


def _enough_news(wanted: Wanted, checkpoint: str, judgements: Sequence[str]) -> None:
    """Raises TooLittle after a turn that changed nothing, until people have said enough more."""
    earlier: list[Journal] = [
        one for one in journals(wanted.runs, wanted.name) if one.content.plan.checkpoint == checkpoint
    ]
    if not earlier:
        return
    seen = set(earlier[-1].content.plan.judgements)
    news = len(set(judgements) - seen)
    needed = max(1, round(len(seen) * NEW_SHARE))
    if news < needed:
        last = earlier[-1]
        raise TooLittle(
            f"{last.directory.name} has tried this feedback ({last.content.decision}); "
            f"{needed - news} more new judgements on {wanted.name} are needed."
        )


def _reasons(rows: TurnRows) -> str:
    """What of the feedback made nothing, in words."""
    found: dict[str, Any] = {**rows.left_out(), **(+rows.made.not_labelled)}
    return "Left out: " + ", ".join(f"{count} {reason}" for reason, count in found.items()) if found else ""
