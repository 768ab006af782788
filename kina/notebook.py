"""
Small HTML tables for notebooks. Everything is escaped: names and labels come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

__all__ = ["card", "table"]


def card(title: str, rows: Mapping[str, object]) -> str:
    """
    Render one object: a title and its fields; those that are None or empty are left out.
    """
    shown = {key: value for key, value in rows.items() if value not in (None, "", (), {})}
    body = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th>'
        f'<td style="text-align:left">{escape(str(value))}</td></tr>'
        for key, value in shown.items()
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"


def table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """
    Render several objects, one a row.
    """
    head = "".join(f'<th style="text-align:left">{escape(cell)}</th>' for cell in header)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="text-align:left">{escape(str(cell))}</td>' for cell in row)
        + "</tr>"
        for row in rows
    )
    return (
        f"<table><caption>{escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
