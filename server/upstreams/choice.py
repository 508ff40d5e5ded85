"""Whom to ask: from the name that a client gave to the upstreams that may answer, best first."""

import math
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches

from common.errors import ModelNotFound, ModelNotReady
from common.model_kind import ModelKind
from common.registry import WORKER_STATES
from server.upstreams.affinity import choose
from server.upstreams.breaker import usable
from server.upstreams.directory import Directory
from server.upstreams.upstream import Upstream

LONGEST_NAME = 500
"""Longest model name, in characters, for which a similar one is suggested."""


def resolve(directory: Directory, name: str, known: Collection[str] | None = None) -> str:
    """The served model behind a name. Raises ModelNotFound for a name nobody serves; its hint suggests
    only names in `known`, those that the client may use; None is all."""
    if directory.serving(name):
        return name
    target = directory.aliases.get(name)
    if target is not None:
        return target
    if name in directory.own and directory.own.lost_lately(name):
        return name  # `candidates` says what has become of it
    raise _unknown(directory, name, known)


def default_of_kind(directory: Directory, kind: ModelKind, may_use: Callable[[str], bool]) -> str:
    """The first by name of the ready models of this kind that the client may use; "" for none."""
    names = (
        name
        for name, serving in directory.served()
        for up in serving
        if up.state == "ready" and up.models[name].kind == kind and may_use(name)
    )
    return min(names, default="")


def candidates(directory: Directory, model: str, affinity: int | None = None) -> list[Upstream]:
    """Ready upstreams of `model`, best first: by affinity within bounded load when there is a key, else
    by power of two choices. Those that failed lately come last, but they do come.

    Raises ModelNotFound for a name nobody serves and ModelNotReady when all who do are busy
    starting, draining or dead.
    """
    serving = directory.serving(model)
    if not serving:
        # The name was resolved for somebody who may not know all others.
        raise _gone(model) if directory.own.lost_lately(model) else _unknown(directory, model, ())
    if len(serving) == 1 and serving[0].state == "ready":
        return list(serving)
    ready = [up for up in serving if up.state == "ready"]
    if not ready:
        raise _not_ready(directory, model, serving)
    now = directory.clock()
    usable_at = usable([up.standing.breaker for up in ready])
    well = [up for at in usable_at if (up := ready[at]).standing.resting_until <= now]
    order = choose(affinity, [up.load() for up in well], [up.seed for up in well], directory.rng)
    return [well[at] for at in order] + [up for up in ready if up not in well]


def has_choice(directory: Directory, model: str) -> bool:
    """Whether more than one upstream serves it."""
    return len(directory.serving(model)) > 1


def context_length(directory: Directory, model: str) -> int | None:
    """Most tokens of prompt and answer together, as far as one of its upstreams tells."""
    lengths = [up.models[model].context_length for up in directory.serving(model)]
    return max((length for length in lengths if length), default=None)


def free_places(directory: Directory, model: str, default_capacity: int) -> float:
    """How many more requests the ready workers of `model` can run; infinite when one does not say."""
    free = 0.0
    for up in directory.serving(model):
        if up.state == "ready":
            capacity = up.reported.capacity or default_capacity
            if not capacity:
                return math.inf
            free += max(0, capacity - up.standing.in_flight)
    return free


def ready(directory: Directory, model: str) -> list[Upstream]:
    """Upstreams that could answer now, the least loaded first."""
    return sorted((up for up in directory.serving(model) if up.state == "ready"), key=Upstream.load)


def _unknown(directory: Directory, model: str, known: Collection[str] | None) -> ModelNotFound:
    if len(model) > LONGEST_NAME:  # finding what is like it would take minutes
        return ModelNotFound(f"There is no model with a name of {len(model)} characters.", param="model")
    names = [name for name in directory.model_names() if known is None or name in known]
    near = get_close_matches(model, names, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "GET /v1/models lists what there is."
    outside = [f"{provider}/{model}" for provider in directory.hidden.get(model, ())]
    if outside and (known is None or outside[0] in known):
        hint = f"No worker serves it; the provider's model is called {outside[0]!r}."
    return ModelNotFound(f"The model {model!r} does not exist.", param="model", hint=hint)


def _gone(model: str) -> ModelNotReady:
    return ModelNotReady(
        f"The model {model!r} was served until a moment ago and has no worker now.",
        param="model",
        hint="Try again in a few seconds.",
        headers={"retry-after": "5"},
    )


def _not_ready(directory: Directory, model: str, serving: Sequence[Upstream]) -> ModelNotReady:
    best = min(serving, key=lambda up: WORKER_STATES.index(up.state))
    if best.state == "loading":
        what = f"is still loading ({best.reported.progress:.0%})"
    elif best.state == "draining":
        what = "is being stopped"
    else:
        silence_s = min(map(directory.silence_s, serving))
        ago = "none has answered yet" if silence_s == math.inf else f"last signal {silence_s:.0f} s ago"
        what = f"has no living worker ({ago})"
    return ModelNotReady(
        f"The model {model!r} {what}.",
        param="model",
        hint="Try again in a few seconds.",
        headers={"retry-after": "5"},
    )
