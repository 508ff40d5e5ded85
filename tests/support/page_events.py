"""Events of the pages, sent to the web UI's own route as `assets/composer.js` sends them."""

from collections.abc import Mapping
from typing import Any


def values_of(config: Mapping[str, Any], event: str, typed: Mapping[str, Any]) -> list[Any]:
    """What `POST /page/events/EVENT` takes: the values of its inputs, `typed` by elem_id or as they
    are at first.

    config: of GET /config.
    """
    parts = {component["id"]: component["props"] for component in config["components"]}
    (listener,) = [one for one in config["dependencies"] if f"event('{event}'" in str(one["js"])]
    filled = [parts[at] for at in listener["inputs"]]
    return [typed.get(props.get("elem_id"), props.get("value")) for props in filled]
