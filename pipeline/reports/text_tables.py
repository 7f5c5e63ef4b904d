"""Tables as lines of text, for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells in columns, two spaces apart: the first to the left, the others to the right."""
    lines = [head, *rows]
    sides = "<" + ">" * (len(head) - 1)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{c:{side}{width}}" for c, side, width in zip(line, sides, widths, strict=True))
        for line in lines
    )
