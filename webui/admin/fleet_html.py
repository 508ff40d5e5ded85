"""The screen of workers and of names with their shares."""

from collections.abc import Sequence
from html import escape

from webui.admin.fleet import NAME_CHARACTERS, ListedName, ListedWorker
from webui.admin.frame import MULTIPART, words
from webui.texts import Lang

STICKY = ("user", "session", "key")


def fleet_html(lang: Lang, workers: Sequence[ListedWorker], names: Sequence[ListedName]) -> str:
    """Who serves what, and how traffic is split."""
    shown = "".join(_worker(lang, worker) for worker in workers) or _nothing(lang, "workers_none")
    known = "".join(_name(lang, name) for name in names) or _nothing(lang, "names_none")
    return (
        f"<section><h2>{words(lang, 'workers_title')}</h2>"
        f"{shown}</section>"
        f"<section><h2>{words(lang, 'names_title')}</h2><p class='quiet'>{words(lang, 'names_hint')}</p>"
        f"{known}"
        f'<details class="card"><summary><strong>{words(lang, "names_new")}</strong></summary>'
        f"{_split_form(lang, None)}</details></section>"
    )


def _nothing(lang: Lang, key: str) -> str:
    return f"<p>{words(lang, key)}</p>"


def _worker(lang: Lang, worker: ListedWorker) -> str:
    good = "in_force" if worker.state == "ready" else "revoked" if worker.state == "down" else ""
    state = f'<span class="chip {good}">{words(lang, f"worker_{worker.state}")}</span>'
    if worker.state == "loading":
        state += f" {worker.progress:.0%}"
    if worker.breaker == "open":
        state += f' <span class="chip expired">{words(lang, "worker_breaker_open")}</span>'
    models = " · ".join(
        f"{escape(model.name)}" + (f" <code>{escape(model.checkpoint)}</code>" if model.checkpoint else "")
        for model in worker.models
    )
    load = words(lang, "worker_load", running=worker.running, waiting=worker.waiting)
    if worker.capacity:
        load += " · " + words(lang, "worker_capacity", most=worker.capacity)
    told = worker.detail if worker.state != "draining" else ""  # its state says all there is
    detail = f'<span class="quiet">{escape(told)}</span>' if told else ""
    head = (
        f"<strong>{escape(worker.id)}</strong> {state}"
        f'<span class="quiet">{models}</span><span class="quiet">{load}</span>{detail}'
    )
    at = escape(worker.id, quote=True)
    incarnation = f'<input type="hidden" name="incarnation" value="{escape(worker.incarnation, quote=True)}">'
    if worker.may_undrain:
        return (
            f'<div class="card still">{head}'
            f'<form {MULTIPART} action="admin/workers/{at}/undrain">{incarnation}'
            f'<p class="quiet">{words(lang, "worker_undrain_hint")}</p>'
            f"<button>{words(lang, 'worker_undrain')}</button></form></div>"
        )
    if not worker.may_drain:
        return f'<div class="card still">{head}</div>'
    return (
        f'<details class="card"><summary>{head}</summary>'
        f'<form {MULTIPART} action="admin/workers/{at}/drain" class="revoke">'
        f"{incarnation}{_sure(lang, 'worker_drain_sure')}"
        f'<button class="danger">{words(lang, "worker_drain")}</button></form></details>'
    )


def _sure(lang: Lang, key: str) -> str:
    return (
        f'<label class="sure"><input type="checkbox" name="sure" value="yes" required> '
        f"{words(lang, key)}</label>"
    )


def _name(lang: Lang, name: ListedName) -> str:
    head = f"<summary><strong>{escape(name.name)}</strong>{_shares(name)}</summary>"
    if name.split is None:
        return f'<details class="card">{head}{_split_form(lang, name)}{_end(lang, name)}</details>'
    canary = "" if len(name.split.arms) > 2 else _split_form(lang, name)
    commands = (
        f'<p class="quiet">{words(lang, "names_commands")} '
        f"<code>kodolly promote {escape(name.name)}</code> · "
        f"<code>kodolly rollback {escape(name.name)}</code></p>"
    )
    ends = _promote(lang, name) + _end(lang, name)
    return f'<details class="card" open>{head}{canary}{commands}{ends}</details>'


def _promote(lang: Lang, name: ListedName) -> str:
    """All to the canary; of several there is none to choose."""
    if name.split is None or len(name.split.arms) != 2 or name.shares[1][1] == 100:
        return ""
    stable, canary = (model for model, _ in name.shares)
    return (
        f'<form {MULTIPART} action="admin/names/promote" class="revoke">'
        f'<input type="hidden" name="name" value="{escape(name.name, quote=True)}">'
        f'<input type="hidden" name="stable" value="{escape(stable, quote=True)}">'
        f'<input type="hidden" name="canary" value="{escape(canary, quote=True)}">'
        f'<input type="hidden" name="sticky" value="{name.split.sticky}">'
        f'<input type="hidden" name="version" value="{escape(name.version, quote=True)}">'
        f"{_sure(lang, 'names_promote_sure')}<button>{words(lang, 'names_promote')}</button></form>"
    )


def _shares(name: ListedName) -> str:
    """A bar of all arms, and their shares in words."""
    at, bars, shares = 0.0, "", []
    for number, (model, percent) in enumerate(name.shares):
        bars += f'<rect class="arm{number}" x="{at * 1.6:.1f}" width="{percent * 1.6:.1f}" height="14"/>'
        shares.append(f"{escape(model)} {percent:g}%")
        at += percent
    svg = f'<svg width="160" height="14" aria-hidden="true">{bars}</svg>'
    return f'<span class="quiet">{svg} {" · ".join(shares)}</span>'


def _split_form(lang: Lang, name: ListedName | None) -> str:
    at = escape(f"{name.name}-" if name else "new-", quote=True)
    shares = name.shares if name else []
    stable = shares[0][0] if shares else ""
    canary, share = shares[1] if len(shares) > 1 else ("", 10.0)
    named = (
        f'<input type="hidden" name="name" value="{escape(name.name, quote=True)}">'
        f'<input type="hidden" name="version" value="{escape(name.version, quote=True)}">'
        if name
        else ""
    )
    fields = [
        "" if name else _field(lang, at, "name", ""),
        _field(lang, at, "stable", stable),
        _field(lang, at, "canary", canary),
        _field(lang, at, "share", f"{share:g}", 'type="number" min="0" max="100" step="0.01"'),
        _sticky(lang, at, name.split.sticky if name and name.split else "user"),
    ]
    return (
        f'<form {MULTIPART} action="admin/names">{named}<div class="fields">{"".join(fields)}</div>'
        f"<button>{words(lang, 'names_split')}</button></form>"
    )


def _field(lang: Lang, at: str, name: str, value: str, more: str = "") -> str:
    return (
        f'<div><label for="{at}{name}">{words(lang, f"admin_{name}")}</label>'
        f'<input id="{at}{name}" name="{name}" value="{escape(value, quote=True)}" required '
        f'maxlength="{NAME_CHARACTERS}" autocomplete="off" {more}></div>'
    )


def _sticky(lang: Lang, at: str, chosen: str) -> str:
    options = "".join(
        f'<option value="{one}"{" selected" if one == chosen else ""}>{words(lang, f"sticky_{one}")}</option>'
        for one in STICKY
    )
    return (
        f'<div><label for="{at}sticky">{words(lang, "admin_sticky")}</label>'
        f'<select id="{at}sticky" name="sticky">{options}</select></div>'
    )


def _end(lang: Lang, name: ListedName) -> str:
    """All to the stable model, or the name taken back."""
    key = "names_remove" if name.split is None else "names_unsplit"
    return (
        f'<form {MULTIPART} action="admin/names/end" class="revoke">'
        f'<input type="hidden" name="name" value="{escape(name.name, quote=True)}">'
        f'<input type="hidden" name="target" value="{escape(name.target, quote=True)}">'
        f'<input type="hidden" name="split" value="{"yes" if name.split else ""}">'
        f'<input type="hidden" name="version" value="{escape(name.version, quote=True)}">'
        f'{_sure(lang, f"{key}_sure")}<button class="danger">{words(lang, key)}</button></form>'
    )
