"""The screen of keys and usage: a form sends what it shows."""

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape

from webui.admin.frame import MULTIPART, words
from webui.admin.keys import LIMITS, NAME_CHARACTERS, ListedKey
from webui.admin.usage import GroupedBy, UsageReport
from webui.admin.usage_html import usage_html
from webui.texts import Lang


def keys_html(
    lang: Lang,
    keys: Sequence[ListedKey],
    usage: UsageReport,
    by: GroupedBy,
    since: date,
) -> str:
    """Keys and usage."""
    names = {key.id: key.name for key in keys}
    return "".join(
        (
            f"<section><h2>{words(lang, 'admin_new_key')}</h2>{_form(lang, None)}</section>",
            _keys(lang, keys),
            usage_html(lang, usage, by, since, names),
        )
    )


def _keys(lang: Lang, keys: Sequence[ListedKey]) -> str:
    if not keys:
        return f"<section><h2>{words(lang, 'admin_keys')}</h2><p>{words(lang, 'admin_no_keys')}</p></section>"
    rows = "".join(_key(lang, key) for key in keys)
    return f"<section><h2>{words(lang, 'admin_keys')}</h2>{rows}</section>"


def _key(lang: Lang, key: ListedKey) -> str:
    role = f' <span class="chip">{words(lang, "role_admin")}</span>' if key.admin else ""
    state = f'<span class="chip {key.state}">{words(lang, f"admin_{key.state}")}</span>'
    head = (
        f"<summary><strong>{escape(key.name)}</strong> <code>{escape(key.id)}</code> {state}{role}"
        f'<span class="quiet">{_limits(lang, key)}</span></summary>'
    )
    if key.state == "revoked":
        return f'<details class="card">{head}<p class="quiet">{words(lang, "admin_is_revoked")}</p></details>'
    revoke = (
        f'<form {MULTIPART} action="admin/keys/{escape(key.id, quote=True)}/revoke" class="revoke">'
        f'<label class="sure"><input type="checkbox" name="sure" value="yes" required> '
        f"{words(lang, 'admin_revoke_sure')}</label>"
        f'<button class="danger">{words(lang, "admin_revoke")}</button></form>'
    )
    return f'<details class="card">{head}{_form(lang, key)}{revoke}</details>'


def _limits(lang: Lang, key: ListedKey) -> str:
    parts = [
        f"{words(lang, f'admin_{name}')} {value:,}"
        for name in LIMITS
        if (value := getattr(key, name)) is not None
    ]
    if key.models is not None:
        parts.append(escape(", ".join(sorted(key.models))))
    if key.expires is not None:
        parts.append(f"{words(lang, 'admin_expires')} {_last_day(key)}")
    return " · ".join(parts) or words(lang, "admin_unlimited")


def _last_day(key: ListedKey) -> str:
    """The last day (UTC) on which it is in force."""
    return (key.expires - timedelta(microseconds=1)).date().isoformat() if key.expires else ""


def _form(lang: Lang, key: ListedKey | None) -> str:
    at = f"{key.id}-" if key else "new-"
    models = ", ".join(sorted(key.models or ())) if key else ""
    fields = [
        _field(lang, at, "name", key.name if key else "", f'required maxlength="{NAME_CHARACTERS}"'),
        _field(lang, at, "models", models, ""),
        *(
            _field(lang, at, name, getattr(key, name) if key else None, 'inputmode="numeric"')
            for name in LIMITS
        ),
        _field(lang, at, "expires", _last_day(key) if key else "", 'type="date"'),
    ]
    action = f"admin/keys/{key.id}" if key else "admin/keys"
    seen = f'<input type="hidden" name="version" value="{escape(key.version, quote=True)}">' if key else ""
    admin = (
        ""
        if key
        else f'<label class="sure"><input type="checkbox" name="admin" value="yes"> '
        f"{words(lang, 'admin_make_admin')}</label>"
    )
    button = words(lang, "admin_save" if key else "admin_create")
    return (
        f'<form {MULTIPART} action="{escape(action, quote=True)}">{seen}'
        f'<div class="fields">{"".join(fields)}</div>{admin}<button>{button}</button></form>'
    )


def _field(lang: Lang, at: str, name: str, value: object, more: str) -> str:
    shown = "" if value is None else escape(str(value), quote=True)
    elem_id = escape(f"{at}{name}", quote=True)
    return (
        f'<div><label for="{elem_id}">{words(lang, f"admin_{name}")}</label>'
        f'<input id="{elem_id}" name="{name}" value="{shown}" autocomplete="off" {more}></div>'
    )
