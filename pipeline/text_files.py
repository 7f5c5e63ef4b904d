"""CSV and JSON as bytes; tables for the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A table with a header, lines ended by a newline, in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def json_text(value: Any) -> bytes:
    """Strict JSON: no NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def rounded(numbers: Any, digits: int = 3) -> Any:
    """Nested lists of an array's numbers, rounded."""
    return numbers.round(digits).tolist()


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells in columns, two spaces apart: the first to the left, the others to the right."""
    lines = [head, *rows]
    sides = "<" + ">" * (len(head) - 1)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{c:{side}{width}}" for c, side, width in zip(line, sides, widths, strict=True))
        for line in lines
    )
