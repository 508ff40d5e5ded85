"""Vector stores as one browser may see and change them.

Whose browser has made a store stands in its metadata and is held to here, as the gateway may know one key for
all who use the page: its maker alone changes it and decides whether others see it. Where users have keys of
their own, the gateway keeps their stores apart, too, and is told what others may see. Stores that were made
elsewhere (by the API, or by another key that shares them) all can read and ask; they are changed where they
were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from common.graphemes import cut
from webui.documents.answers import JsonRecord, PaperPage
from webui.gateway_client import GatewayClient, GatewayError

STORES, UPLOADS = "/v1/vector_stores", "/v1/uploads"
PURPOSE = "assistants"
MAKER, SHARED = "kodolly_page_user", "kodolly_page_shared"
"""In the metadata of a store: whose browser has made it, and `yes` where others may see it."""
MAKER_CHARACTERS = 32
SERVICE_S = 120.0
"""Longest wait for the documents service: it may be taking in a large file."""
PAGE = 100
MOST_STORES = 1000


class NotAllowed(Exception):
    """This browser may not see the store, or not change it."""


@dataclass(frozen=True)
class StoreReader:
    """One browser at the gateway."""

    client: GatewayClient
    user: str
    """Its id (webui.store.users)."""
    keyed: bool = False
    """Whether `client` asks with a key of this user's own."""

    async def stores(self) -> list[JsonRecord]:
        """The stores that the browser may see, the newest first. Raises GatewayError."""
        found = [store for store in await self._all(STORES) if self._may_see(store)]
        return [self._shown(store) for store in found]

    async def store(self, store_id: str, *, change: bool = False) -> JsonRecord:
        """A store that the browser may see or, with `change`, may change. Raises NotAllowed, GatewayError."""
        store = await self._get(store_path(store_id))
        if not (self._is_maker(store) if change else self._may_see(store)):
            raise NotAllowed
        return self._shown(store)

    async def make(self, name: str) -> JsonRecord:
        """Make a store that belongs to this browser. Raises GatewayError."""
        body = {"name": name, "metadata": {MAKER: self._mark()}}
        return self._shown(await self._send("POST", STORES, body))

    async def change(self, store_id: str, name: str | None, shared: bool | None) -> JsonRecord:
        """Rename it, or let others see it or not. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        body: JsonRecord = {} if name is None else {"name": name}
        if shared is not None:
            body["metadata"] = {MAKER: self._mark()} | ({SHARED: "yes"} if shared else {})
            if self.keyed:
                body["shared_with"] = ["*"] if shared else []
        return self._shown(await self._send("POST", store_path(store_id), body))

    async def delete(self, store_id: str) -> None:
        """Delete the store and the files that were uploaded into it. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        files = await self._all(f"{store_path(store_id)}/files")
        await self._send("DELETE", store_path(store_id))
        for file in files:
            await self._delete_file(file["id"])

    async def files(self, store_id: str) -> list[JsonRecord]:
        """Its files with names and states. Raises NotAllowed, GatewayError."""
        await self.store(store_id)
        listed = await self._all(f"{store_path(store_id)}/files")
        return [await self._file(file) for file in listed]

    async def upload(self, store_id: str, name: str, content: bytes) -> str:
        """Upload a file, which is then indexed; returns its id. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        file = {"file": (name, content)}
        made = await self._send("POST", "/v1/files", form={"purpose": PURPOSE}, files=file)
        return await self._attach(store_id, made["id"], name)

    async def begin_upload(self, store_id: str, name: str, size: int) -> str:
        """Begin a file of so many bytes that comes in parts; the upload's id. Raises NotAllowed,
        GatewayError."""
        await self.store(store_id, change=True)
        body = {"filename": name, "bytes": size, "purpose": PURPOSE, "mime_type": "application/octet-stream"}
        return str((await self._send("POST", UPLOADS, body))["id"])

    async def add_part(self, store_id: str, upload_id: str, content: bytes) -> str:
        """Upload a part; its id. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        part = {"data": ("part", content)}
        return str((await self._send("POST", f"{UPLOADS}/{upload_id}/parts", files=part))["id"])

    async def end_upload(self, store_id: str, upload_id: str, name: str, part_ids: Sequence[str]) -> str:
        """The parts are a file now, which is then indexed; its id. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        body = {"part_ids": list(part_ids)}
        made = await self._send("POST", f"{UPLOADS}/{upload_id}/complete", body)
        return await self._attach(store_id, made["file"]["id"], name)

    async def cancel_upload(self, store_id: str, upload_id: str) -> None:
        """Give it up. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        await self._send("POST", f"{UPLOADS}/{upload_id}/cancel", {})

    async def remove(self, store_id: str, file_id: str) -> None:
        """Delete a file of the store. Raises NotAllowed, GatewayError."""
        await self.store(store_id, change=True)
        await self._send("DELETE", f"{store_path(store_id)}/files/{quote(file_id, safe='')}")
        await self._delete_file(file_id)

    async def pages(self, store_id: str, file_id: str) -> list[PaperPage]:
        """What was read of a file, page by page. Raises NotAllowed, GatewayError."""
        await self.store(store_id)
        path = f"{store_path(store_id)}/files/{quote(file_id, safe='')}/content"
        parts = (await self._get(path))["data"]
        return [PaperPage(str(part.get("text") or ""), str(part.get("problem") or "")) for part in parts]

    async def _attach(self, store_id: str, file_id: str, name: str) -> str:
        body = {"file_id": file_id, "attributes": {"filename": cut(name, 500)}}
        await self._send("POST", f"{store_path(store_id)}/files", body)
        return file_id

    async def _get(self, path: str, params: JsonRecord | None = None) -> JsonRecord:
        return await self.client.get(path, params, timeout_s=SERVICE_S)

    async def _send(self, method: str, path: str, body: JsonRecord | None = None, **form: Any) -> JsonRecord:
        return await self.client.send(method, path, body, **form, timeout_s=SERVICE_S)

    async def _all(self, path: str) -> list[JsonRecord]:
        found: list[JsonRecord] = []
        after: dict[str, Any] = {}
        while len(found) < MOST_STORES:
            page = await self._get(path, {"limit": PAGE} | after)
            found += page["data"]
            if not page.get("has_more") or not page["data"]:
                break
            after = {"after": page["data"][-1]["id"]}
        return found

    async def _file(self, file: JsonRecord) -> JsonRecord:
        name = (file.get("attributes") or {}).get("filename")
        if not name:
            try:
                name = (await self._get(f"/v1/files/{quote(file['id'], safe='')}"))["filename"]
            except GatewayError:  # somebody else's, in a store that is shared with this key
                name = file["id"]
        error = (file.get("last_error") or {}).get("message")
        return {"id": file["id"], "name": name, "status": file["status"], "error": error}

    async def _delete_file(self, file_id: str) -> None:
        try:
            await self._send("DELETE", f"/v1/files/{quote(file_id, safe='')}")
        except GatewayError as error:
            if error.failure.kind != "model_not_found":  # it is gone already, which is all that was asked for
                raise

    def _mark(self) -> str:
        return self.user[:MAKER_CHARACTERS]

    def _is_maker(self, store: JsonRecord) -> bool:
        return (store.get("metadata") or {}).get(MAKER) == self._mark()

    def _may_see(self, store: JsonRecord) -> bool:
        metadata = store.get("metadata") or {}
        return MAKER not in metadata or metadata.get(SHARED) == "yes" or self._is_maker(store)

    def _shown(self, store: JsonRecord) -> JsonRecord:
        counted = store.get("file_counts") or {}
        return {
            "id": store["id"],
            "name": store.get("name") or store["id"],
            "files": counted.get("total", 0),
            "reading": counted.get("in_progress", 0),
            "mine": self._is_maker(store),
            "shared": (store.get("metadata") or {}).get(SHARED) == "yes",
        }


def store_path(store_id: str) -> str:
    """Its path at the gateway."""
    return f"{STORES}/{quote(store_id, safe='')}"
