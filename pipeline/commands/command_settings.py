"""The options of a command as what the library takes: a dataclass with fields of their names."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any, TypeVar

_Settings = TypeVar("_Settings")


def settings_of(kind: type[_Settings], args: argparse.Namespace) -> _Settings:
    """A `kind`, a dataclass each of whose fields is an option."""
    fields: Any = dataclasses.fields(kind)  # type: ignore[arg-type]
    return kind(**{field.name: getattr(args, field.name) for field in fields})
