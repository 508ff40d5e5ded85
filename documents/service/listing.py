"""OpenAI's lists: pages by cursor (https://platform.openai.com/docs/api-reference/files/list)."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from common.errors import BadRequest
from documents.service.catalogue import Catalogue, Row, Values

Order = Literal["asc", "desc"]


@dataclass(frozen=True)
class PageRequest:
    """Which part of a list is asked for."""

    limit: int
    order: Order
    after: str | None
    before: str | None


def _page_request(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Order = "desc",
    after: str | None = None,
    before: str | None = None,
) -> PageRequest:
    return PageRequest(limit, order, after, before)


PageDep = Annotated[PageRequest, Depends(_page_request)]


@dataclass(frozen=True)
class Listing:
    """Rows of a table, of which a page is shown."""

    table: str
    """With its joins; the table that is listed is called `t`."""
    where: str
    values: Values
    id_column: str = "t.id"
    columns: str = "t.*"


def page_of(catalogue: Catalogue, listed: Listing, asked: PageRequest) -> tuple[list[Row], bool]:
    """The rows, in the order that was asked for, and whether there are more behind them.

    Raises BadRequest for a cursor that is not in the list.
    """
    newest_first = asked.order == "desc"
    where, values = listed.where, [*listed.values]
    for cursor, name, greater in (
        (asked.after, "after", not newest_first),
        (asked.before, "before", newest_first),
    ):
        if cursor:
            where += f" AND t.place {'>' if greater else '<'} ?"
            values.append(_place_of(catalogue, listed, cursor, name))
    # The page before a cursor is the one next to it: it is read backwards.
    backwards = bool(asked.before and not asked.after)
    descending = newest_first != backwards
    rows = catalogue.rows(
        f"SELECT {listed.columns} FROM {listed.table} WHERE {where}"  # noqa: S608
        f" ORDER BY t.place {'DESC' if descending else 'ASC'} LIMIT ?",
        [*values, asked.limit + 1],
    )
    shown = rows[: asked.limit]
    return (shown[::-1] if backwards else shown), len(rows) > asked.limit


def _place_of(catalogue: Catalogue, listed: Listing, cursor: str, name: str) -> int:
    found = catalogue.row(
        f"SELECT t.place FROM {listed.table} WHERE {listed.where} AND {listed.id_column} = ?",  # noqa: S608
        [*listed.values, cursor],
    )
    if found is None:
        raise BadRequest(f"There is no {cursor!r} in this list.", param=name, code="invalid_value")
    return int(found["place"])


def list_object(data: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """OpenAI's list object."""
    ids = [one["id"] for one in data]
    return {
        "object": "list",
        "data": data,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }
