"""The `kodolly` command. Each subcommand lives in `kodolly/commands/` and is imported when it is called."""

import importlib.metadata
import sys

import click

from common.errors import KodollyError
from kodolly.echo import echo_line
from kodolly.lazy_group import LazyGroup

COMMANDS = {
    "up": "Start controller, workers, gateway and web UI in one foreground process tree.",
    "controller": "Start the registry of workers.",
    "gateway": "Start the OpenAI-compatible gateway.",
    "worker": "Serve a checkpoint with vLLM and register it.",
    "webui": "Start the comparison page.",
    "data": "Turn instruction data into Dolly rows, check, clean, mix and split them.",
    "documents": "Read papers (PDF, HWPX, DOCX ...) into stores, and search them in Korean.",
    "recipes": "List the recipes that come with kodolly.",
    "train": "Train a checkpoint or an adapter as a recipe says.",
    "merge": "Merge an adapter into its base, or several models into one.",
    "export": "Write a checkpoint in 8 bits for vLLM, or for llama.cpp and Ollama.",
    "eval": "Measure a checkpoint or a served model.",
    "keys": "Make, list and revoke API keys.",
    "feedback": "Export feedback, or delete everything of one rater.",
    "usage": "Show requests and tokens by key, model or day.",
    "backup": "Write the gateway's and the web UI's store to a file.",
    "restore": "Put what a backup holds into the stores.",
    "models": "List the models the gateway offers.",
    "ps": "List the workers and what they are doing.",
    "top": "Show workers and gateway, refreshed each second.",
    "deploy": "Put a new checkpoint behind a model's name; no request fails.",
    "promote": "Let a canary answer all of a name's traffic.",
    "rollback": "Take a canary away, or serve the checkpoint of before.",
    "improve": "From people's feedback to a better model behind the same name.",
    "drain": "Stop workers once their running requests have ended.",
    "alias": "Give a model another name, or list such names.",
    "ask": "Ask one or several models a question in the terminal.",
    "doctor": "Check this machine and every running part, and say how to fix what is wrong.",
    "health": "Ask a part whether it is well, past any proxy; for health checks.",
    "config": "Show every setting and where its value comes from.",
}


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


@click.group(
    cls=LazyGroup, table=COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]}
)
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
        echo_line(f"kodolly: {error}", err=True)
        sys.exit(2)
