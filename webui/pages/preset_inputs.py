"""The presets of one side: their list, and what it takes to keep one. What happens is in `preset_events`."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from webui.pages.parts import Updates
from webui.store.tables import PRESET_NAME_CHARACTERS


@dataclass(frozen=True)
class PresetInputs:
    """Picker, name, whether others may use it, and the buttons."""

    picker: gr.Dropdown
    name: gr.Textbox
    shared: gr.Checkbox
    save: gr.Button
    delete: gr.Button

    @property
    def all(self) -> list[Any]:
        """What listeners change."""
        return [self.picker, self.name, self.shared]

    def cleared(self) -> Updates:
        """None is chosen: the settings come from elsewhere."""
        return {self.picker: None, self.name: "", self.shared: False}


def preset_inputs(t: gr.I18n, prefix: str) -> PresetInputs:
    """Lay them out."""
    picker = gr.Dropdown([], label=t("preset"), filterable=False, elem_id=f"{prefix}-preset")
    name = gr.Textbox(
        label=t("preset_name"),
        placeholder=t("preset_hint"),
        max_length=PRESET_NAME_CHARACTERS,
        elem_id=f"{prefix}-preset-name",
    )
    with gr.Row(elem_classes="kd-preset"):
        shared = gr.Checkbox(label=t("preset_shared"), container=False, elem_id=f"{prefix}-preset-shared")
        save = gr.Button(t("preset_save"), size="sm", elem_id=f"{prefix}-preset-save")
        delete = gr.Button(t("preset_delete"), size="sm", elem_id=f"{prefix}-preset-delete")
    return PresetInputs(picker=picker, name=name, shared=shared, save=save, delete=delete)
