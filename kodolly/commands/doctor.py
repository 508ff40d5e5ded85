"""`kodolly doctor`."""

import dataclasses
import json
import sys

import click

EPILOG = """\b
Examples:
  kodolly doctor
  kodolly doctor --json
"""

MARKS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("fail", "red")}


@click.command("doctor", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Check this machine and every running part; each line ends with the fix. Exit code 1 when one fails."""
    from kodolly.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.level]
            fix = f"  -> {finding.fix}" if finding.fix else ""
            click.echo(f"{click.style(mark, fg=colour)}  {finding.what}: {finding.found}{fix}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(f) for f in findings], ensure_ascii=False, indent=2))
    sys.exit(1 if any(f.level == "fail" for f in findings) else 0)
