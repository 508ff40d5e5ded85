"""A new checkpoint for a part of a name's traffic; later it takes all of it, or goes."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from common.checkpoint_identity import checkpoint_id
from common.errors import UserError
from common.registry import Alias, Snapshot, Split, Sticky, WorkerRecord
from common.settings import load_settings
from kodolly.clients.controller_access import Controllers
from kodolly.operate.arms import split_of
from kodolly.operate.deploy import Deployment, Say, deploy
from kodolly.operate.deployed import Deployed, DeployHistory, ServedCheckpoint
from kodolly.operate.drain import drain_workers
from kodolly.stack.parts import DEMO, UpSettings


@dataclass(frozen=True, slots=True)
class Site:
    """The cluster in which deployments happen, and where to say what goes on."""

    controllers: Controllers
    config: Path | None
    say: Say
    run: Callable[[Deployment, Controllers, Path | None, Say], None] = deploy

    def deployed(self) -> Deployed:
        """What was deployed from this state directory."""
        return Deployed(load_settings(UpSettings, {}, self.config).state_dir)

    def snapshot(self) -> Snapshot:
        """What the first controller that answers knows. Raises UserError."""
        return self.controllers.snapshot()

    def tell(self, method: str, name: str, alias: Alias | None = None) -> None:
        """Change a name at all controllers. Raises UserError when none can be reached."""
        body = alias.model_dump() if alias is not None else None
        path = f"/v1/aliases/{quote(name, safe='')}"
        for url in self.controllers.tell_all(method, path, body, ignore=(404,) if alias is None else ()):
            self.say(f"The controller at {url} could not be told; repeat this when it is back.")


def deploy_for_all(site: Site, wanted: Deployment) -> None:
    """Replace what serves a name, and remember what did. Raises UserError."""
    snapshot = site.snapshot()
    if wanted.name in snapshot.splits:
        raise UserError(
            f"A canary gets a part of {wanted.name}'s traffic.",
            hint=f"End that first: `kodolly promote {wanted.name}` or `kodolly rollback {wanted.name}`.",
        )
    if (model := model_behind(snapshot, wanted.name)) != wanted.name:
        raise UserError(
            f"{wanted.name} is another name of {model}.",
            hint=f"`kodolly deploy {model} {wanted.checkpoint}` replaces what both lead to; "
            f"`kodolly alias --remove {wanted.name}` frees the name.",
        )
    history = _history(site, wanted, wanted.name)
    site.run(wanted, site.controllers, site.config, site.say)
    site.deployed().remember(wanted.name, history.now(_served(wanted)))


def deploy_for_some(site: Site, wanted: Deployment, share: float, sticky: Sticky) -> None:
    """Let the new checkpoint answer `share` percent of a name's traffic, beside what serves it now.

    Raises UserError, and stops the new worker, when it does not become ready or cannot be given traffic.
    """
    snapshot = site.snapshot()
    name = wanted.name
    if name in snapshot.splits:
        raise UserError(
            f"{name}'s traffic is split already.",
            hint=f"`kodolly promote {name}` or `kodolly rollback {name}` ends that.",
        )
    stable = model_behind(snapshot, name)
    canary = f"{stable}-canary"
    if not any(record.state == "ready" for record in _serving(snapshot, stable)):
        raise UserError(f"Nothing serves {stable} now.", hint=f"Leave out --share: `kodolly deploy {name}`.")
    if _serving(snapshot, canary):
        raise UserError(f"{canary} is served already.", hint=f"Stop it first: `kodolly drain {canary}`.")
    alias = split_of([(stable, 100 - share), (canary, share)], sticky)
    deployed = site.deployed()
    history = _history(site, wanted, stable)
    site.run(replace(wanted, name=canary, beside=stable), site.controllers, site.config, site.say)
    with ExitStack() as back:  # the last one first, each whatever becomes of the others
        back.callback(deployed.remember, name, history)
        back.callback(_stop, site, [canary], 0)
        back.callback(site.say, "stopping the canary; everything stays as it was")
        deployed.remember(name, replace(history, canary=_served(wanted)))
        back.callback(_lead_to, site, name, stable)
        site.tell("PUT", name, alias)
        back.pop_all()
    site.say(f"{share:g}% of {name} is answered by {canary}")


def promote(site: Site, name: str, wait: Deployment) -> None:
    """Let a name's canary answer all of its traffic; no request fails. `wait` has the time limits.

    Can be repeated where it was broken off. Raises UserError.
    """
    snapshot, deployed = site.snapshot(), site.deployed()
    split, history = _split_of(snapshot, name), deployed.of(name)
    if history.canary is None:
        raise UserError(
            f"Which checkpoint {name}'s canary has is not known here.",
            hint=f"Run this where it was deployed, or `kodolly rollback {name}` and deploy it for all.",
        )
    chosen = history.canary
    for arm in split.arms[1:]:
        _require_served(snapshot, name, arm.model, chosen)
    if not history.served or history.served[-1] != chosen:  # else it was broken off behind this
        site.run(_again(wait, split.arms[0].model, chosen), site.controllers, site.config, site.say)
        history = replace(history.now(chosen), canary=chosen)
        deployed.remember(name, history)
    _end_split(site, name, split, wait.drain_timeout_s)
    deployed.remember(name, history.now(chosen))


def rollback(site: Site, name: str, wait: Deployment) -> None:
    """Take a name's canary away; without one, serve the checkpoint before the present one again.

    Raises UserError when there is nothing to go back to.
    """
    deployed, snapshot = site.deployed(), site.snapshot()
    history = deployed.of(name)
    split = snapshot.splits.get(name)
    if split is not None:
        _end_split(site, name, split, wait.drain_timeout_s)
        deployed.remember(name, replace(history, canary=None))
        return
    if len(history.served) < 2:
        raise UserError(
            f"No earlier checkpoint of {name} is remembered here.",
            hint=f"Name it yourself: `kodolly deploy {name} CHECKPOINT`.",
        )
    stable = model_behind(snapshot, name)
    _require_served(snapshot, name, stable, *history.served[-2:])
    wanted = _again(wait, stable, history.served[-2])
    site.run(wanted, site.controllers, site.config, site.say)
    deployed.remember(name, history.back())


def _end_split(site: Site, name: str, split: Split, drain_timeout_s: float) -> None:
    """All traffic to the stable arm, then the others' workers go."""
    stable, *others = (arm.model for arm in split.arms)
    _lead_to(site, name, stable)
    site.say(f"all of {name} is answered by {stable}")
    _stop(site, others, drain_timeout_s)


def _lead_to(site: Site, name: str, model: str) -> None:
    """All of a name's traffic to one model."""
    if model == name:
        site.tell("DELETE", name)
    else:
        site.tell("PUT", name, Alias(target=model))


def _stop(site: Site, models: Sequence[str], drain_timeout_s: float) -> None:
    """Drain all workers of these models."""
    snapshot = site.snapshot()
    if leaving := [record for model in models for record in _serving(snapshot, model)]:
        drain_workers(site.controllers, leaving, drain_timeout_s, site.say)


def _history(site: Site, wanted: Deployment, model: str) -> DeployHistory:
    """What is remembered of a name, up to what serves the model behind it now. Where nothing here says where
    that lies, it is empty: `kodolly rollback` must not lead to another checkpoint than that of before."""
    snapshot, history = site.snapshot(), site.deployed().of(wanted.name)
    known = [one for one in (*history.served[-1:], configured(site, model)) if one is not None]
    for one in known:
        if not _others_served(snapshot, model, one):
            return replace(history.now(one), canary=history.canary)
    if not _others_served(snapshot, model, _served(wanted)):  # a deployment that was broken off at its end
        return history
    site.say(
        f"Where the checkpoint that serves {model} now lies is not known here: "
        f"`kodolly rollback {wanted.name}` will not lead back to it"
    )
    return DeployHistory(canary=history.canary)


def _require_served(snapshot: Snapshot, name: str, model: str, *remembered: ServedCheckpoint) -> None:
    """Raises UserError where no worker of the model has one of the checkpoints that are remembered here: it
    was changed on another machine, or from another state directory."""
    if served := _others_served(snapshot, model, *remembered):
        raise UserError(
            f"{model} has the checkpoint {', '.join(served)}, which was not deployed from here: that was "
            f"{remembered[-1].checkpoint}.",
            hint=f"Run this where it was deployed, or name a checkpoint: `kodolly deploy {name} CHECKPOINT`.",
        )


def _others_served(snapshot: Snapshot, model: str, *remembered: ServedCheckpoint) -> list[str]:
    """Ids of the checkpoints that serve the model, where none of them is one of the remembered; empty, too,
    where that is not known."""
    cards = [card for record in _serving(snapshot, model) for card in record.models if card.name == model]
    served = {card.checkpoint for card in cards if card.checkpoint is not None}
    places = [Path(one.checkpoint) for one in remembered]
    if not all(place.is_dir() for place in places) or {checkpoint_id(place) for place in places} & served:
        return []
    return sorted(served)


def model_behind(snapshot: Snapshot, name: str) -> str:
    """The model that answers to a name, as gateways see it: a model's own name wins over an alias."""
    return name if _serving(snapshot, name) else snapshot.aliases.get(name, name)


def _split_of(snapshot: Snapshot, name: str) -> Split:
    split = snapshot.splits.get(name)
    if split is None:
        raise UserError(
            f"{name} has no canary.", hint=f"`kodolly deploy {name} CHECKPOINT --share 10` starts one."
        )
    return split


def _serving(snapshot: Snapshot, model: str) -> list[WorkerRecord]:
    return [record for record in snapshot.workers if model in [card.name for card in record.models]]


def configured(site: Site, name: str) -> ServedCheckpoint | None:
    """What kodolly.yaml, or else the demo, lets `kodolly up` serve under the name."""
    settings = load_settings(UpSettings, {}, site.config)
    for spec in settings.workers:
        if name in (spec.name, spec.model.name):
            return ServedCheckpoint(str(spec.model.resolve()), tuple(spec.args))
    # `kodolly up --demo` keeps a link of this name to the model it has trained last.
    demo = settings.state_dir / DEMO / name
    return ServedCheckpoint(str(demo.resolve())) if (demo / "config.json").is_file() else None


def _again(wait: Deployment, model: str, served: ServedCheckpoint) -> Deployment:
    return replace(wait, name=model, checkpoint=Path(served.checkpoint), args=tuple(served.args))


def _served(wanted: Deployment) -> ServedCheckpoint:
    return ServedCheckpoint(str(wanted.checkpoint.resolve()), wanted.args)
