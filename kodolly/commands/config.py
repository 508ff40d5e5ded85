"""`kodolly config`."""

from pathlib import Path

import click

EPILOG = """\b
Examples:
  kodolly config show
  kodolly config show --config other.yaml
"""


@click.group("config", epilog=EPILOG)
def command() -> None:
    """Show every setting and where its value comes from."""


@command.command("show", epilog=EPILOG)
@click.option("--config", type=click.Path(path_type=Path), help="Settings file.  [default: ./kodolly.yaml]")
def show(config: Path | None) -> None:
    """Print `section.setting = value  (source)`; secrets stay hidden."""
    from common.settings import load_with_sources
    from controller.settings import ControllerSettings
    from kodolly.stack import UpSettings
    from server.settings import GatewaySettings
    from webui.settings import WebuiSettings
    from worker.settings import WorkerSettings

    for cls in (UpSettings, ControllerSettings, GatewaySettings, WorkerSettings, WebuiSettings):
        settings, sources = load_with_sources(cls, {}, config)
        for name in sorted(cls.model_fields):
            click.echo(f"{cls.section}.{name} = {getattr(settings, name)}  ({sources[name]})")
