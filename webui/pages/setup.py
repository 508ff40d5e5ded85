"""Model and settings of one side: the inputs on the page, and what they are set to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from common.feedback import Sampling
from common.graphemes import cut
from common.status import StatusModel
from webui.choices import WORKER_SAMPLING, default_sampling
from webui.conversation import QUESTION_CHARACTERS, Setup
from webui.pages.parts import Updates
from webui.pages.preset_inputs import PresetInputs, preset_inputs
from webui.status_cache import StatusCache
from webui.store.presets import Preset


@dataclass(frozen=True)
class SetupInputs:
    """Picker, presets, system prompt and sampling of one side."""

    picker: gr.Dropdown
    presets: PresetInputs
    system: gr.Textbox
    temperature: gr.Slider
    top_p: gr.Slider
    max_tokens: gr.Slider

    @property
    def sampling(self) -> list[Any]:
        return [self.temperature, self.top_p, self.max_tokens]

    @property
    def settings(self) -> list[Any]:
        """What a preset sets."""
        return [self.system, *self.sampling]

    @property
    def all(self) -> list[Any]:
        return [self.picker, *self.settings]

    def read(self, values: Mapping[Any, Any], cache: StatusCache) -> Setup | None:
        """What they are set to in `values`, by component; None without a model.

        Values come from the browser: numbers out of range become the nearest, nonsense the defaults.
        """
        model = values[self.picker]
        if not model:
            return None
        known = cache.find(str(model))
        preset = self.read_preset(values, known)
        return Setup(
            model=str(model),
            external=known is not None and known.kind == "external",
            system=preset.system,
            sampling=preset.sampling,
            images=known is not None and bool(known.images),
        )

    def read_preset(self, values: Mapping[Any, Any], known: StatusModel | None = None) -> Preset:
        """The same without the model; `known` tells the defaults."""
        try:
            sampling = Sampling(
                temperature=_nearest(values[self.temperature], 0.0, 2.0),
                top_p=_nearest(values[self.top_p], 0.01, 1.0),
                max_tokens=int(_nearest(values[self.max_tokens], 1, 32768)),
            )
        except (TypeError, ValueError, OverflowError):
            sampling = default_sampling(known)
        return Preset(system=cut(str(values[self.system] or ""), QUESTION_CHARACTERS), sampling=sampling)

    def show(self, setup: Setup) -> Updates:
        """Set all of them."""
        return {self.picker: setup.model, self.system: setup.system} | self.show_sampling(setup)

    def show_preset(self, preset: Preset) -> Updates:
        """Set all but the model."""
        return {self.system: preset.system} | self.show_sampling(preset)

    def show_sampling(self, setup: Setup | Preset) -> Updates:
        """Set temperature, top-p and max tokens."""
        sampling = setup.sampling
        return {
            self.temperature: sampling.temperature,
            self.top_p: sampling.top_p,
            self.max_tokens: sampling.max_tokens,
        }


def _nearest(value: Any, low: float, high: float) -> float:
    """Raises TypeError, ValueError: JSON of browsers may also hold NaN, which is near to nothing."""
    number = float(value)
    if math.isnan(number):
        raise ValueError
    return min(max(number, low), high)


def setup_inputs(t: gr.I18n, prefix: str, picker: gr.Dropdown, accordion: gr.Accordion) -> SetupInputs:
    """The inputs, those besides `picker` within `accordion`."""
    with accordion:
        return SetupInputs(
            picker=picker,
            presets=preset_inputs(t, prefix),
            system=gr.Textbox(
                label=t("system"),
                placeholder=t("system_hint"),
                lines=2,
                max_lines=8,
                max_length=QUESTION_CHARACTERS,
                elem_id=f"{prefix}-system",
            ),
            temperature=gr.Slider(
                0,
                2,
                WORKER_SAMPLING.temperature,
                step=0.05,
                label=t("temperature"),
                elem_id=f"{prefix}-temperature",
            ),
            top_p=gr.Slider(
                0.05, 1, WORKER_SAMPLING.top_p, step=0.05, label=t("top_p"), elem_id=f"{prefix}-top-p"
            ),
            max_tokens=gr.Slider(
                16,
                4096,
                WORKER_SAMPLING.max_tokens,
                step=16,
                label=t("max_tokens"),
                elem_id=f"{prefix}-max-tokens",
            ),
        )
