"""Presets: choose, keep and delete them, on one side of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from webui.notices import tell
from webui.pages.parts import Updates, lang_of, on, user_in
from webui.pages.setup import SetupInputs
from webui.store.presets import KeptPreset, Presets
from webui.texts import Lang, text


class PresetEvents:
    """The listeners of all sides of one page: what one side keeps, the others offer as well."""

    def __init__(self, sides: Sequence[SetupInputs], presets: Presets) -> None:
        self.sides = sides
        self.presets = presets

    def wire(self) -> None:
        """Attach them."""
        lists = [side.presets.picker for side in self.sides]
        for side in self.sides:
            own = side.presets
            on(own.picker.input, self.chosen(side), [own.picker],
               [side.system, *side.sampling, own.name, own.shared])  # fmt: skip
            given = {own.name, own.shared, *side.settings}
            on([own.save.click, own.name.submit], self.keep(side), given, [*lists, *own.all])
            on(own.delete.click, self.delete(side), [own.picker], [*lists, *own.all])

    async def load(self, user: str, lang: Lang) -> Updates:
        """The lists; nothing is chosen in them."""
        return _lists(self.sides, await self.presets.listed(user), lang)

    def chosen(self, side: SetupInputs) -> Any:
        """Set the side to a preset."""

        async def listener(request: gr.Request, chosen: str | None) -> Updates:
            known = await self.presets.listed(user_in(request))
            found = next((one for one in known if one.id == chosen), None)
            if found is None:
                tell(text(lang_of(request), "preset_gone"))
                return {side.presets.name: gr.skip()}
            named = {side.presets.name: found.name, side.presets.shared: found.mine and found.shared}
            return side.show_preset(found.preset) | named

        return listener

    def keep(self, side: SetupInputs) -> Any:
        """Keep what the side is set to."""

        async def listener(request: gr.Request, values: Mapping[Any, Any]) -> Updates:
            user, lang, own = user_in(request), lang_of(request), side.presets
            preset, shared = side.read_preset(values), bool(values[own.shared])
            made = await self.presets.keep(user, str(values[own.name] or ""), preset, shared=shared)
            if made is None:
                tell(text(lang, "preset_needs_name"))
                return {own.name: gr.skip()}
            known = await self.presets.listed(user)
            name = next((one.name for one in known if one.id == made), "")
            tell(text(lang, "preset_saved", name=name))
            return _lists(self.sides, known, lang) | {own.picker: _list(known, lang, made), own.name: name}

        return listener

    def delete(self, side: SetupInputs) -> Any:
        """Delete the chosen one; its settings stay on the side, so that saving brings it back."""

        async def listener(request: gr.Request, chosen: str | None) -> Updates:
            user, lang, own = user_in(request), lang_of(request), side.presets
            deleted = chosen is not None and await self.presets.delete(user, chosen)
            tell(text(lang, "preset_deleted" if deleted else "preset_not_yours"))
            if not deleted:
                return {own.picker: gr.skip()}
            known = await self.presets.listed(user)
            return _lists(self.sides, known, lang) | {own.picker: _list(known, lang, None)}

        return listener


def _lists(sides: Sequence[SetupInputs], known: Sequence[KeptPreset], lang: Lang) -> Updates:
    """The list of each side; what is chosen stays."""
    return {side.presets.picker: gr.update(choices=_choices(known, lang)) for side in sides}


def _list(known: Sequence[KeptPreset], lang: Lang, chosen: str | None) -> Any:
    return gr.update(choices=_choices(known, lang), value=chosen)


def _choices(known: Sequence[KeptPreset], lang: Lang) -> list[Any]:
    return [(_label(one, lang), one.id) for one in known]


def _label(one: KeptPreset, lang: Lang) -> str:
    if not one.mine:
        return text(lang, "preset_of_others", name=one.name)
    return text(lang, "preset_is_shared", name=one.name) if one.shared else one.name
