"""The `kodolly` command. Each subcommand lives in `kodolly/commands/` and is imported when it is called."""

import importlib
import importlib.metadata
import sys

import click

from common.errors import KodollyError

COMMANDS = {
    "up": "Start controller, workers, gateway and web UI in one foreground process tree.",
    "controller": "Start the registry of workers.",
    "gateway": "Start the OpenAI-compatible gateway.",
    "worker": "Serve a checkpoint with vLLM and register it.",
    "webui": "Start the comparison page.",
    "train": "Train a checkpoint or an adapter as a recipe says.",
    "merge": "Merge a LoRA adapter into a complete checkpoint.",
    "keys": "Make, list and revoke API keys.",
    "usage": "Show requests and tokens by key, model or day.",
    "models": "List the models the gateway offers.",
    "ps": "List the workers and what they are doing.",
    "top": "Show workers and gateway, refreshed each second.",
    "deploy": "Put a new checkpoint behind a model's name; no request fails.",
    "drain": "Stop workers once their running requests have ended.",
    "alias": "Give a model another name, or list such names.",
    "ask": "Ask one or several models a question in the terminal.",
    "doctor": "Check this machine and every running part, and say how to fix what is wrong.",
    "config": "Show every setting and where its value comes from.",
}


class LazyGroup(click.Group):
    """Knows every command's name and help line without importing it, so `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"kodolly.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            meant = f" Did you mean `{near[0]}`?" if near else " `kodolly --help` lists them."
            raise click.UsageError(f"There is no command {args[0]!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"kodolly {importlib.metadata.version('kodolly')}")
        ctx.exit()


EPILOG = """\b
Examples:
  kodolly up --demo            train, serve and compare the demo models
  kodolly train recipe.yaml    train as the recipe says
  kodolly doctor               what is wrong here, and how to mend it
"""


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version)
def root() -> None:
    """Fine-tune, serve and compare Korean chat models."""


def main() -> None:
    """Entry point: a KodollyError is one line on stderr and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    try:
        root()
    except KodollyError as error:
        click.echo(f"kodolly: {error}", err=True)
        sys.exit(2)
