"""Models that cannot be tuned and then served, each with its reason, refused before anything is loaded."""

import json
from pathlib import Path

from common.errors import UserError

_NO_CODE = "is no part of transformers 5; it would need code from the hub, which is never run"
_NO_ENGINE = "is no part of vLLM 0.32: what is tuned could not be served"
_NO_TEXT_CLASS = "reads images, and is not among those of which kodolly trains the text part"
NOT_NATIVE = {
    "exaone": ("EXAONE 3.5", _NO_CODE, "EXAONE 4.0 is: `kodolly recipes show exaone-4.0-32b-qlora`."),
    "kormo": ("KORMo", _NO_CODE, ""),
    "kanana2_tiny": ("Kanana 2 1.3B", _NO_CODE, "Kanana 2 3B is."),
    "solar_open": ("Solar Open", _NO_ENGINE, "SOLAR 10.7B is: `kodolly recipes show solar-10.7b-qlora`."),
    "axk2": ("A.X K2", _NO_ENGINE, ""),
    "qwen2_vl": ("Qwen2-VL", _NO_TEXT_CLASS, "Qwen3.5 has one: `kodolly recipes show qwen3.5-4b-lora`."),
    "qwen2_5_vl": ("Qwen2.5-VL", _NO_TEXT_CLASS, "Qwen3.5 has one: `kodolly recipes show qwen3.5-4b-lora`."),
    "qwen3_vl": ("Qwen3-VL", _NO_TEXT_CLASS, "Qwen3.5 has one: `kodolly recipes show qwen3.5-4b-lora`."),
}
"""`model_type` in config.json -> (name of the models, why not, what to take instead)."""


def refuse_not_native(directory: Path) -> None:
    """Raises UserError for a base in `directory` that transformers or vLLM do not support natively."""
    try:
        values = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        found = NOT_NATIVE.get(str(values["model_type"]))
    except (OSError, ValueError, KeyError, TypeError):
        return  # loading the base will give a better message
    if found is not None:
        name, reason, instead = found
        raise UserError(f"{name} {reason}.", hint=instead or "`kodolly recipes list` shows models that are.")
