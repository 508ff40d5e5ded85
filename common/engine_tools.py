"""Tools and calls of tools in the form in which vLLM hands a request's to the chat template.

A template that writes a whole object (`tool | tojson`) shows its keys in their order, so order and absent
values are part of the prompt. vLLM 0.32 reads tools into models (`FunctionDefinition` in
entrypoints/generate/base/protocol.py) and calls by openai's typed dictionaries, in the order of their fields.
"""

from collections.abc import Mapping

_ALWAYS = ("name", "description", "parameters")
_WHERE_SET = ("strict", "defer_loading")


def tool_as_engine_sees(tool: Mapping[str, object]) -> dict[str, object]:
    """A tool in OpenAI's form with the keys that vLLM knows, in its order; one in another form as it is."""
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)
    known = {name: function.get(name) for name in _ALWAYS}
    known |= {name: function[name] for name in _WHERE_SET if function.get(name) is not None}
    return {"type": tool.get("type", "function"), "function": known}


def call_as_engine_sees(call: Mapping[str, object]) -> dict[str, object]:
    """A call in OpenAI's form in the order of openai's typed dictionary; one in another form as it is."""
    function = call.get("function")
    if not isinstance(function, Mapping):
        return dict(call)
    ordered = {name: function[name] for name in ("arguments", "name") if name in function}
    return {name: call[name] for name in ("id",) if name in call} | {
        "function": ordered,
        "type": call.get("type", "function"),
    }
