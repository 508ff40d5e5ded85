"""What the commands print: whatever a name, an answer or a file holds, it cannot steer the terminal."""

import json
from pathlib import Path
from typing import Any

import click

from common.escape import escape_controls, escape_json


def echo_line(line: str | Path, err: bool = False) -> None:
    """Print one line, also when what was put into it has line breaks."""
    click.echo(escape_controls(str(line)), err=err)


def echo_text(text: str, err: bool = False) -> None:
    """Print text of several lines."""
    click.echo(escape_controls(text, keep="\n\t"), err=err)


def echo_json(value: Any) -> None:
    """Print `value` as JSON; what is no JSON value appears as its text."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2, default=str)))
