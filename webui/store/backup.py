"""What a backup keeps of the web UI: all but logins, which are begun anew."""

from common.store_backup import KeptStore
from webui.store.opening import SCHEMA
from webui.store.tables import metadata, sessions

WEBUI_STORE = KeptStore(
    file="webui.db",
    schema=SCHEMA,
    tables=tuple(table for table in metadata.sorted_tables if table is not sessions),
)
