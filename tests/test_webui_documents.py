"""Papers on the page: what of an answer is a citation, what a page marks, and which browser may do what."""

import asyncio
from importlib.resources import files
from typing import Any

import pytest

from webui.document_texts import PAGE
from webui.documents.answers import JsonRecord, PaperPage, opened, pieces
from webui.documents.stores import NotAllowed, StoreReader
from webui.gateway_client import GatewayClient

RECOGNISED = "its text was recognised in a picture, confidence 87%"


def response(text: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": list(annotations)}
    return {"output": [{"type": "file_search_call"}, {"type": "message", "content": [part]}]}


def cited(index: int, number: int = 1) -> dict[str, Any]:
    passage = {"number": number, "page": 2, "quote": "15일이다.", "span": [3, 9], "supported": True}
    passage["problem"] = RECOGNISED
    return {"type": "file_citation", "index": index, "file_id": "file-1", "filename": "a.pdf"} | {
        "passage": passage
    }


def test_a_citation_stands_in_the_place_of_the_models_marker() -> None:
    text = "연차는 15일이다. [2] 그렇다."
    first, cite, rest = pieces(response(text, cited(text.index("]") + 1, 2)))
    assert (first, rest) == ({"text": "연차는 15일이다."}, {"text": " 그렇다."})
    assert cite["cite"] == {
        "number": 2,
        "file": "file-1",
        "filename": "a.pdf",
        "page": 2,
        "quote": "15일이다.",
        "start": 3,
        "end": 9,
        "supported": True,
        "problem": RECOGNISED,
        "confidence": 87,
    }


def test_an_answer_without_citations_is_text_as_it_is() -> None:
    assert pieces(response("a[0] = 1")) == [{"text": "a[0] = 1"}]
    assert pieces({"output": []}) == []


@pytest.mark.parametrize(
    ("page", "start", "end", "quote", "marked"),
    [
        (2, 4, 10, "15일이다.", "15일이다."),
        (2, 3, 9, "15일이다.", "15일이다."),  # the paper has changed since
        (2, None, None, "15일이다.", "15일이다."),
        (1, None, None, "15일이다.", "15일이다."),  # a passage over two pages
        (2, 0, 6, "없는 말", ""),
        (9, None, None, "", ""),
    ],
)
def test_a_page_marks_the_quote_wherever_it_stands(
    page: int, start: int | None, end: int | None, quote: str, marked: str
) -> None:
    second = PaperPage("연차는 15일이다. 끝", RECOGNISED)
    found = opened([PaperPage("첫 쪽"), second], page, start, end, quote)
    assert (found["page"], found["pages"], found["quote"]) == (2, 2, marked)
    assert found["before"] + found["quote"] + found["after"] == second.text
    assert (found["problem"], found["confidence"]) == (RECOGNISED, 87)


class Gateway(GatewayClient):
    """Vector stores in memory; the key owns all of them."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.rows: dict[str, JsonRecord] = {}

    async def get(self, path: str, params: Any = None, timeout_s: float = 1.0) -> dict[str, Any]:
        if path == "/v1/vector_stores":
            return {"data": list(self.rows.values()), "has_more": False}
        return self.rows[path.rpartition("/")[2]]

    async def send(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        store_id = f"vs_{len(self.rows)}" if path == "/v1/vector_stores" else path.rpartition("/")[2]
        self.rows[store_id] = self.rows.get(store_id, {"id": store_id}) | body
        return self.rows[store_id]


def test_only_the_browser_that_made_a_store_changes_it() -> None:
    gateway = Gateway()
    gateway.rows["vs_api"] = {"id": "vs_api", "name": "API", "metadata": {}}
    mine, other = StoreReader(gateway, "a" * 64), StoreReader(gateway, "b" * 64)

    async def run() -> None:
        made = (await mine.make("편람"))["id"]
        assert [one["name"] for one in await mine.stores()] == ["API", "편람"]
        assert [one["name"] for one in await other.stores()] == ["API"]
        for attempt in (other.store(made), other.change(made, "x", None), other.delete(made)):
            with pytest.raises(NotAllowed):
                await attempt
        await mine.change(made, None, True)
        assert (await other.store(made))["mine"] is False
        with pytest.raises(NotAllowed):
            await other.change(made, "x", None)
        with pytest.raises(NotAllowed):
            await other.upload(made, "a.md", b"a")
        for refused in (other.begin_upload(made, "a.md", 9), other.add_part(made, "upload_1", b"a")):
            with pytest.raises(NotAllowed):
                await refused
        renamed = await mine.change(made, "새 편람", None)
        assert (renamed["name"], renamed["shared"]) == ("새 편람", True)
        await mine.change(made, None, False)
        assert [one["name"] for one in await other.stores()] == ["API"]
        with pytest.raises(NotAllowed):
            await mine.delete("vs_api")

    asyncio.run(run())


def test_the_script_writes_no_html() -> None:
    words = files("webui.pages.documents").joinpath("documents.js").read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in words
    for key in PAGE:
        assert f"'{key}'" in words, key
