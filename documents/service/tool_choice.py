"""`tool_choice` of a request with `file_search`: whether there is a search, and what of it is the engine's
(https://platform.openai.com/docs/api-reference/responses/create)."""

from typing import Any

SEARCH = "file_search"


def may_search(choice: Any) -> bool:
    """Not where the request forbids all tools, or names others."""
    if not isinstance(choice, dict):
        return bool(choice != "none")
    if choice.get("type") == "allowed_tools":
        return any(_is_search(one) for one in _allowed(choice))
    return _is_search(choice)


def after_search(choice: Any) -> Any:
    """What a search has left of it, where there are functions, too; None is nothing: the model may call them.
    A tool that had to be called has been."""
    if choice == "required" or _is_search(choice):
        return None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        others = [one for one in _allowed(choice) if not _is_search(one)]
        return {**choice, "mode": "auto", "tools": others} if others else "none"
    return choice


def _allowed(choice: dict[str, Any]) -> list[Any]:
    tools = choice.get("tools")
    return tools if isinstance(tools, list) else []


def _is_search(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") == SEARCH
