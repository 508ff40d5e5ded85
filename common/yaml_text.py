"""YAML out of files that people write. What is wrong is told without quoting them: they may hold secrets."""

from typing import Any

import yaml

MOST_LEVELS = 100


class BrokenYaml(ValueError):
    """`line` counts from 1; None when the parser does not say where."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line


def parse_yaml(text: str) -> Any:
    """What `text` holds, by PyYAML's safe loader. Raises BrokenYaml and nothing else."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "it cannot be parsed"
        raise BrokenYaml(reason, mark.line + 1 if mark else None) from error
    except RecursionError:  # its frames are many and say nothing
        raise BrokenYaml("it is nested too deeply") from None
    except ValueError as error:  # a date such as 2024-13-45
        raise BrokenYaml(f"a value cannot be read: {error}") from error
    if _too_deep(value):
        raise BrokenYaml("it is nested too deeply")
    return value


def _too_deep(value: Any) -> bool:
    """Also of a list that holds itself (`&a [*a]`). Each container once a level: aliases cost nothing."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_LEVELS):
        items = (item for each in level for item in (each.values() if isinstance(each, dict) else each))
        level = list({id(item): item for item in items if isinstance(item, dict | list)}.values())
    return bool(level)
