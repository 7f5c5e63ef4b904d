"""CSV and JSON as bytes."""

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
