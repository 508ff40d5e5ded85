"""The stores of this machine, or of the databases that the settings name: the gateway's and the web UI's."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from common.backup_manifest import BackupManifest
    from common.store_backup import KeptStore


def configured_stores(config: Path | None) -> "Mapping[KeptStore, str]":
    """Store -> URL, whether or not there is anything. Raises UserError."""
    from common.settings import load_settings
    from server.settings import GatewaySettings
    from server.store.backup import GATEWAY_STORE
    from webui.settings import WebuiSettings
    from webui.store.backup import WEBUI_STORE

    return {
        GATEWAY_STORE: load_settings(GatewaySettings, {}, config).store_url(),
        WEBUI_STORE: load_settings(WebuiSettings, {}, config).store_url(),
    }


def existing_stores(config: Path | None) -> "Mapping[KeptStore, str]":
    """Those that are there, at least one. Raises UserError."""
    from common.redact import redacted_url
    from common.store_backup import is_there

    stores = configured_stores(config)
    there = {store: url for store, url in stores.items() if is_there(store, url)}
    if not there:
        places = " nor at ".join(redacted_url(url) for url in stores.values())
        settings = " and ".join(store.schema.setting for store in stores)
        raise UserError(f"There is no store at {places}.", hint=f"Check KODOLLY_STATE_DIR, {settings}.")
    return there


def told_rows(manifest: "BackupManifest", file: str) -> str:
    """How many rows of which tables a backup has of one store; `none` where it is not in there."""
    contents = manifest.stores.get(file)
    if contents is None:
        return "none"
    rows = {name.removeprefix("webui_"): count for name, count in contents.rows.items()}
    return ", ".join(f"{count:,} {table}" for table, count in rows.items())
