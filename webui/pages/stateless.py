"""Gradio's pages without what Gradio keeps of each open page on the server.

Gradio keeps a copy of every component for each page that was opened, and makes a component anew whenever an
event names it as an output: 30 ms of CPU to open a page, 30 ms for each question. Our handlers take all they
need from the event and from the store, so that any process may answer any event.
"""

from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.block_function import BlockFunction
from gradio.blocks import Block
from gradio.components import Dropdown, Radio
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from pydantic import BaseModel

UNCHANGED = {"__type__": "update"}


class StatelessBlocks(gr.Blocks):
    """Blocks whose components are the same for every page and stay as they were built."""

    async def postprocess_data(
        self, block_fn: BlockFunction, predictions: Any, state: SessionState | None
    ) -> list[Any]:
        """What the browser is told of each output of an event, in their order.

        predictions: what the handler returned: values or `gr.update`s by component, or in the order of the
        outputs, or the one value of a single output.
        """
        outputs = list(block_fn.outputs)
        if not outputs or predictions == gr.skip():
            return [UNCHANGED] * len(outputs)
        if _by_component(predictions):
            changed = {block: told(block, value) for block, value in predictions.items()}
            assert changed.keys() <= set(outputs), f"{block_fn.name} changes what is none of its outputs"
            return [changed.get(block, UNCHANGED) for block in outputs]
        values = [predictions] if len(outputs) == 1 else predictions
        return [told(block, value) for block, value in zip(outputs, values, strict=True)]


def _by_component(given: Any) -> bool:
    return isinstance(given, dict) and bool(given) and all(isinstance(key, Block) for key in given)


def _is_update(given: Any) -> bool:
    return isinstance(given, dict) and given.get("__type__") == "update"


def told(block: Any, given: Any) -> Any:
    """What the browser is told of a component: a value, or properties of an update."""
    if not _is_update(given):
        return _value(block, given)
    changed = {name: _property(name, value) for name, value in given.items() if name != "value"}
    return changed | {"value": _value(block, given["value"])} if "value" in given else changed


def _property(name: str, value: Any) -> Any:
    """As the component's constructor would have it."""
    if name == "choices":
        return [tuple(each) if isinstance(each, (tuple, list)) else (str(each), each) for each in value]
    return [value] if name == "elem_classes" and isinstance(value, str) else value


def _value(block: Any, value: Any) -> Any:
    if isinstance(block, (Dropdown, Radio)):
        return value  # Gradio warns of a choice that was not there when the page was built
    made = block.postprocess(value)
    return made.model_dump() if isinstance(made, BaseModel) else made


class NoSession(SessionState):
    """The components as they were built; what an event says of one is not kept."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class NoSessions(StateHolder):
    """The same for every page."""

    def __init__(self, blocks: gr.Blocks) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.set_blocks(blocks)

    def set_blocks(self, blocks: gr.Blocks) -> None:
        """Serve these pages."""
        super().set_blocks(blocks)
        self.one = NoSession(blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        return self.one

    def __contains__(self, session_id: object) -> bool:
        return False


def forget_pages(app: FastAPI, demo: StatelessBlocks) -> None:
    """Have the Gradio app that is mounted in `app` keep nothing of the pages of `demo`."""
    (gradio,) = (mounted for route in app.routes if isinstance(mounted := getattr(route, "app", None), App))
    gradio.state_holder = NoSessions(demo)
