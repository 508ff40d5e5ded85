"""Calls of tools in a row, and the tools themselves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec


class ToolCall(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One call by the assistant."""

    name: str
    arguments: dict[str, object] = {}
    id: str = ""
    """'' where rendering the row is to make one up."""

    def texts(self) -> list[str]:
        """All strings in its arguments, at any depth."""
        return list(_texts(self.arguments))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def tool_names(tools: Iterable[Mapping[str, object]]) -> set[str] | None:
    """The names of the tools; None when one of them is not in OpenAI's form."""
    names = set()
    for tool in tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            return None
        if not isinstance(name := function.get("name"), str) or not name:
            return None
        names.add(name)
    return names


def called_tools(calls: Iterable[Sequence[ToolCall]]) -> Iterator[str]:
    """The names of all tools that are called."""
    return (call.name for made in calls for call in made)
