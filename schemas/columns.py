"""A table's columns, declared once: name, Arrow type, unit, meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: name, Arrow type, unit and meaning."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    nullable: bool = False


def to_schema(columns: Iterable[Column]) -> pa.Schema:
    """The Arrow schema of `columns`; unit and meaning travel as field metadata."""
    return pa.schema(
        [
            pa.field(
                c.name, c.type, nullable=c.nullable, metadata={"unit": c.unit, "meaning": c.meaning}
            )
            for c in columns
        ]
    )
