"""The type of options that take a number."""

from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number between two others; click.FloatRange takes `nan`, too, and `inf` where the range is open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number - number != 0:  # nan or inf
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number
