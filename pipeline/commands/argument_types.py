"""Types of arguments: text to a checked value, or a one-line error."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from models.devices import check_device_name
from models.frame_ticks import as_rate
from pipeline.commands.command_parser import nearest
from schemas.choices import LANDMARK_WEIGHTS, STABILIZERS
from schemas.reasons import REASONS


def positive_int(text: str) -> int:
    """A whole number from 1 up."""
    return _whole(text, least=1)


def count(text: str) -> int:
    """A whole number from 0 up."""
    return _whole(text, least=0)


def positive_float(text: str) -> float:
    """A finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return number


def frame_rate(text: str) -> str:
    """Frames a second, above 0: a number or a fraction, as written."""
    return _accepted(text, as_rate)


def device(text: str) -> str:
    """Where a network runs: auto, cpu, cuda or cuda:i."""
    return _accepted(text, check_device_name)


def weights(text: str) -> str:
    """`fast`, `accurate`, or an existing file, which is not read here."""
    return _existing(text, text, LANDMARK_WEIGHTS)


def detector(text: str) -> str:
    """`default`, or `yunet:FILE` or FILE of an existing file, which is not read here."""
    return _existing(text, text.removeprefix("yunet:"), ("default",))


def stabilizer(text: str) -> str:
    """One of `STABILIZERS`, or an existing weights file, which is not read here."""
    return _existing(text, text, STABILIZERS)


def words(text: str) -> tuple[str, ...]:
    """Words between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def reasons(text: str) -> frozenset[str]:
    """Some of `REASONS`, between commas."""
    given = frozenset(words(text))
    unknown = sorted(given - set(REASONS))
    if unknown or not given:
        got = ", ".join(unknown) or repr(text)
        raise argparse.ArgumentTypeError(f"got {got}, expected some of {', '.join(REASONS)}")
    return given


def file_name(*suffixes: str) -> Callable[[str], Path]:
    """A type for the path of a file to write, whose name ends in one of `suffixes`."""

    def checked(text: str) -> Path:
        if Path(text).suffix.lower() not in suffixes:
            expected = f"expected a name that ends in {' or '.join(suffixes)}"
            raise argparse.ArgumentTypeError(f"got {Path(text).name!r}, {expected}")
        return Path(text)

    return checked


def _existing(text: str, path: str, names: Sequence[str]) -> str:
    """`text`: one of `names`, or its `path` exists; what looks like no path is taken for a name."""
    if text in names or Path(path).is_file():
        return text
    if "/" in path or Path(path).suffix or path != text:
        raise argparse.ArgumentTypeError(f"no such file: {path}")
    meant = nearest(text, names)
    hint = f"; did you mean {meant}?" if meant else f", expected {', '.join(names)} or a file"
    raise argparse.ArgumentTypeError(f"got {text!r}{hint}")


def _accepted(text: str, check: Callable[[str], object]) -> str:
    """`text`, for which `check` raises no ValueError."""
    try:
        check(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _whole(text: str, *, least: int) -> int:
    number = int(text) if text.isdecimal() else -1
    if number < least:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from {least} up")
    return number
