"""What people and metrics are shown of the upstreams, as they are known now."""

import math

from common.registry import WORKER_STATES, ModelCard
from common.status import StatusModel, StatusProvider
from server.upstreams.breaker import State as BreakerState
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream


def cards(directory: Directory) -> dict[str, tuple[ModelCard, Upstream]]:
    """Name, aliases included -> card of the model and the upstream in the best state that serves it."""
    best = {
        name: min(serving, key=lambda up: WORKER_STATES.index(up.state))
        for name, serving in directory.served()
    }
    names = dict(directory.aliases) | {name: name for name in best if directory.is_listed(name)}
    return {
        name: (best[target].models[target], best[target]) for name, target in names.items() if target in best
    }


def status_models(directory: Directory) -> list[StatusModel]:
    """One entry a model name, from memory."""
    return [_status_of(directory, name, card, up) for name, (card, up) in cards(directory).items()]


def _status_of(directory: Directory, name: str, card: ModelCard, up: Upstream) -> StatusModel:
    workers = [w for w in directory.serving(card.name) if w.kind == "worker"]
    external = up.kind == "external"
    silence_s = min(map(directory.silence_s, workers), default=math.inf)
    return StatusModel(
        id=name,
        kind=up.kind,
        provider=up.id if external else None,
        state=up.state,
        progress=up.reported.progress,
        detail=up.reported.detail,
        workers=sum(w.state == "ready" for w in workers),
        running=up.standing.in_flight if external else sum(w.reported.running for w in workers),
        waiting=sum(w.reported.waiting for w in workers),
        model_kind=card.kind,
        last_seen_s=None if external or silence_s == math.inf else silence_s,
        **card.model_dump(
            include={"base", "method", "licence", "template", "template_hash"}
            | {"context_length", "dtype", "parameters", "checkpoint", "images"}
        ),
    )


def breaker_states(directory: Directory) -> dict[str, BreakerState]:
    """Upstream id -> what its breaker does."""
    return {up.id: up.standing.breaker.state for up in directory.upstreams()}


def status_providers(directory: Directory) -> list[StatusProvider]:
    """Every configured provider, with or without a key."""
    return [
        StatusProvider(
            name=p.name,
            configured=p.name in directory.externals,
            key_env=p.key_env,
            models=list(p.models),
            hidden=[name for name, providers in directory.hidden.items() if p.name in providers],
        )
        for p in directory.providers
    ]
