"""A response of the Responses API with a search before it and citations in it, whole or as its events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from documents.answers.citations import cited, passage_object
from documents.answers.markers import MarkerFilter
from documents.answers.passage import Passage

Event = dict[str, Any]


@dataclass(frozen=True)
class SearchCall:
    """The search as an item of the answer."""

    id: str
    question: str
    results: list[dict[str, Any]] | None
    """None where the client has not asked for them."""
    ranking: dict[str, Any]
    """What the order of the passages rests on; kodolly's own fields of the item."""

    def item(self, status: str = "completed") -> dict[str, Any]:
        """OpenAI's `file_search_call`."""
        done = status == "completed"
        return {
            "id": self.id,
            "type": "file_search_call",
            "status": status,
            "queries": [self.question],
            "results": self.results if done else None,
            **(self.ranking if done else {}),
        }


@dataclass
class _CitedText:
    """How far one text of the answer is."""

    markers: MarkerFilter
    text: list[str] = field(default_factory=list)


class CitedResponse:
    """Of one request. `whole` or `events` is used, never both."""

    def __init__(
        self, call: SearchCall | None, passages: Sequence[Passage], response_id: Any, asked: dict[str, Any]
    ) -> None:
        """`response_id` is what the gateway calls the response, `asked` the client's request. Without a
        `call` the model's own words stay as they are."""
        self._call, self._passages = call, passages
        known = {"id": response_id} if response_id else {}
        self._named = known | {name: asked[name] for name in ("tools", "tool_choice") if name in asked}
        self._parts: dict[tuple[int, int], _CitedText] = {}
        self._number = 0
        self._searched = False

    def whole(self, response: dict[str, Any]) -> dict[str, Any]:
        """The finished response."""
        named = response | self._named
        if self._call is None:
            return named
        items = [self._item(one) for one in response.get("output") or []]
        return named | {"output": [self._call.item(), *items]}

    def events(self, event: Event) -> list[Event]:
        """What becomes of an event of the model's; numbered in order."""
        if self._call is None:
            made = [self._renamed(event)]
        else:
            made = [*self._search_before(event, self._call), *self._changed(event)]
        for one in made:
            one["sequence_number"] = self._number
            self._number += 1
        return made

    def _renamed(self, event: Event) -> Event:
        response = event.get("response")
        return event | ({"response": self.whole(response)} if isinstance(response, dict) else {})

    def _search_before(self, event: Event, call: SearchCall) -> Iterator[Event]:
        """The search stands before the first item of the model's."""
        if self._searched or event.get("type") in (
            "response.created",
            "response.in_progress",
            "response.queued",
        ):
            return
        self._searched = True
        where = {"output_index": 0, "item_id": call.id}
        yield {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": call.item("in_progress"),
        }
        for state in ("in_progress", "searching", "completed"):
            yield {"type": f"response.file_search_call.{state}", **where}
        yield {"type": "response.output_item.done", "output_index": 0, "item": call.item()}

    def _changed(self, event: Event) -> Iterator[Event]:
        kind = event.get("type")
        place = (int(event.get("output_index") or 0), int(event.get("content_index") or 0))
        event = dict(event)
        if "output_index" in event:
            event["output_index"] = place[0] + 1
        if isinstance(event.get("response"), dict):
            begun = not self._searched
            event["response"] = self.whole(event["response"]) | ({"output": []} if begun else {})
        elif kind == "response.output_text.delta":
            event["delta"] = self._passed(place, str(event.get("delta", "")), last=False)
            if not event["delta"]:
                return
        elif kind == "response.output_text.done":
            yield from self._ended(place, event)
            event["text"] = "".join(self._parts[place].text)
        elif kind == "response.content_part.done" and isinstance(event.get("part"), dict):
            event["part"] = self._cited(event["part"])
        elif kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            event["item"] = self._item(event["item"])
        yield event

    def _passed(self, place: tuple[int, int], piece: str, *, last: bool) -> str:
        part = self._parts.setdefault(place, _CitedText(MarkerFilter(len(self._passages))))
        out = part.markers.feed(piece) + (part.markers.end() if last else "")
        part.text.append(out)
        return out

    def _ended(self, place: tuple[int, int], done: Event) -> Iterator[Event]:
        """The text that was held back, and the citations."""
        names = ("item_id", "output_index", "content_index")
        common: Event = {name: done[name] for name in names if name in done}
        if rest := self._passed(place, "", last=True):
            yield {"type": "response.output_text.delta", **common, "delta": rest, "logprobs": []}
        for at, annotation in enumerate(self._annotations("".join(self._parts[place].text))):
            yield {
                "type": "response.output_text.annotation.added",
                **common,
                "annotation_index": at,
                "annotation": annotation,
            }

    def _item(self, item: dict[str, Any]) -> dict[str, Any]:
        if item.get("type") != "message":
            return item
        return item | {"content": [self._cited(part) for part in item.get("content") or []]}

    def _cited(self, part: dict[str, Any]) -> dict[str, Any]:
        """A text with its markers checked and its citations."""
        if part.get("type") != "output_text" or not isinstance(part.get("text"), str):
            return part
        markers = MarkerFilter(len(self._passages))
        text = markers.feed(part["text"]) + markers.end()
        return part | {"text": text, "annotations": self._annotations(text)}

    def _annotations(self, text: str) -> list[dict[str, Any]]:
        made = []
        for one in cited(text, self._passages):
            passage = self._passages[one.number - 1]
            citation = {"type": "file_citation", "index": one.end, "file_id": passage.file_id}
            made.append(citation | {"filename": passage.filename, "passage": passage_object(one, passage)})
        return made
