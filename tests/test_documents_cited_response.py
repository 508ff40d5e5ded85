"""A response with `file_search`: its text and its events say the same."""

from typing import Any

from documents.answers.passage import Passage
from documents.chunks import Span
from documents.service.cited_response import CitedResponse, SearchCall

PASSAGES = [Passage("file-1", "휴가.md", "연차휴가는 15일이다.", (), (Span(None, 0, 12),), 0.9)]
PIECES = ["연차휴가는 15일입니다", " [", "1]. 끝 [", "7]"]
TEXT = "".join(PIECES)


def cited() -> CitedResponse:
    asked = {"tools": [{"type": "file_search"}]}
    return CitedResponse(SearchCall("fs_1", "연차?", None, {}), PASSAGES, "resp_ours", asked)


def response(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": "resp_theirs", "output": [{"id": "msg", "type": "message", "content": [part]}], "tools": []}


def test_text_and_events_say_the_same() -> None:
    whole = cited().whole(response(TEXT))
    assert (whole["id"], [one["type"] for one in whole["output"]]) == (
        "resp_ours",
        ["file_search_call", "message"],
    )
    (part,) = whole["output"][1]["content"]
    assert part["text"] == "연차휴가는 15일입니다 [1]. 끝"
    (annotation,) = part["annotations"]
    assert (annotation["type"], annotation["file_id"], annotation["index"]) == ("file_citation", "file-1", 17)

    where = {"output_index": 0, "content_index": 0, "item_id": "msg"}
    made = cited()
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("") | {"output": []}},
        *[{"type": "response.output_text.delta", "delta": piece, **where} for piece in PIECES],
        {"type": "response.output_text.done", "text": TEXT, **where},
        {"type": "response.completed", "response": response(TEXT)},
    ]
    sent = [out for event in events for out in made.events(event)]
    deltas = [out["delta"] for out in sent if out["type"] == "response.output_text.delta"]
    assert "".join(deltas) == part["text"]
    assert all(out["output_index"] == 1 for out in sent if "delta" in out)
    added = [out["annotation"] for out in sent if out["type"].endswith("annotation.added")]
    assert added == part["annotations"]
    assert sent[-1]["response"] == whole
    assert [out["sequence_number"] for out in sent] == list(range(len(sent)))
