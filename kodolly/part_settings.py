"""The settings that a part gets from its flags, the environment and kodolly.yaml, without starting it."""

from collections.abc import Sequence
from typing import Any

import click

from common.errors import UserError
from common.settings import PartSettings, load_settings
from kodolly.cli import root


def settings_of(part: str, flags: Sequence[str] = ()) -> Any:
    """What `kodolly PART FLAGS...` would run with. Raises UserError for unknown flags and broken settings."""
    from controller.settings import ControllerSettings
    from documents.service.settings import DocumentsSettings
    from server.settings import GatewaySettings
    from webui.settings import WebuiSettings
    from worker.settings import WorkerSettings

    classes: dict[str, type[PartSettings]] = {
        "controller": ControllerSettings,
        "gateway": GatewaySettings,
        "documents": DocumentsSettings,
        "webui": WebuiSettings,
        "worker": WorkerSettings,
    }
    cls = classes[part]
    above = click.Context(root)
    command = root.get_command(above, part)
    if isinstance(command, click.Group):  # its `serve` is the part: `kodolly documents serve FLAGS...`
        command = command.get_command(click.Context(command, above, part), "serve")
        flags = flags[1:] if flags[:1] in (["serve"], ("serve",)) else flags
    assert command is not None
    try:
        given = command.make_context(part, list(flags)).params
    except click.ClickException as error:
        raise UserError(f"kodolly {part}: {error.format_message()}") from error
    known = {name: value for name, value in given.items() if name in cls.model_fields}
    return load_settings(cls, {name: value or None for name, value in known.items()}, given.get("config"))
