"""Tables as CSV that a spreadsheet opens as data: no cell of text can be taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ralex_core.model.money import decimal_text

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
Cell = str | int | float | Decimal | None


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """RFC 4180 text with a header line. Numbers are plain (`-0.5`), unknown is empty.

    Text that a spreadsheet would run begins with an apostrophe (OWASP, *CSV Injection*).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return text.getvalue()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return decimal_text(value) or ""
    if isinstance(value, int | float):
        return str(value)
    plain = value.replace("\0", "")
    return f"'{plain}" if plain.lstrip(" ").startswith(_STARTS_A_FORMULA) else plain
