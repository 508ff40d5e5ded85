"""Settings of the names that a chat template asks for, to be tried.

Templates spell the switch for thinking in many ways (`enable_thinking`, `thinking`, `skip_think`,
`reasoning_effort` ...), so it is found by trying and not by its name.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from jinja2 import nodes

from common.template_rendering import CLOCK, ChatTemplate

Kwargs = Mapping[str, Any]
_NOT_SWITCHES = frozenset(
    {
        "messages",
        "tools",
        "documents",
        "add_generation_prompt",
        "continue_final_message",
        CLOCK,
        "date_string",
    }
)


def candidates(template: ChatTemplate, most: int) -> Iterator[Kwargs]:
    """Nothing, then every setting of one name, then of two: true, false and texts it is compared with."""
    yield {}
    settings = [(name, value) for name, values in _switches(template).items() for value in values]
    for number in range(1, most + 1):
        for chosen in combinations(settings, number):
            if len({name for name, _value in chosen}) == number:
                yield dict(chosen)


def _switches(template: ChatTemplate) -> dict[str, list[Any]]:
    """Names that the template asks for, with the values to try."""
    asked = template.variables - _NOT_SWITCHES - set(template.special_tokens)
    stored = {name.name for name in template.tree.find_all(nodes.Name) if name.ctx == "store"}
    for assign in template.tree.find_all(
        nodes.Assign
    ):  # {% set thinking = thinking if thinking is defined %}
        target = assign.target
        if isinstance(target, nodes.Name) and any(n.name == target.name for n in _names_in(assign.node)):
            stored.discard(target.name)
    names = {name for name in asked - stored if not name.endswith("_token")}
    values: dict[str, list[Any]] = {name: [False, True] for name in sorted(names)}
    for compare in template.tree.find_all(nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        constants = [side.value for side in sides if isinstance(side, nodes.Const)]
        for side in sides:
            if isinstance(side, nodes.Name) and side.name in values:
                values[side.name] += [one for one in constants if isinstance(one, str)]
    return values


def _names_in(node: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(node, nodes.Name):
        yield node
    yield from node.find_all(nodes.Name)
