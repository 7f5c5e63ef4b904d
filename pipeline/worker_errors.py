"""Finds our errors in those of a runner, which hold what its workers raised as text."""

from __future__ import annotations

import re
from typing import Final

from schemas import errors
from schemas.errors import FacetracksError

_OURS: Final[dict[str, type[FacetracksError]]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type)
    and issubclass(kind, FacetracksError)
    and not issubclass(kind, errors.VideoError)
}
#: The last line of a traceback, or the beginning of the message of an error that was kept.
_RAISED: Final = re.compile(rf"^(?:[\w.]+\.)?({'|'.join(_OURS)}): ", re.MULTILINE)
_STEP: Final = re.compile(r"\s*\[while running '[^']*'\].*", re.DOTALL)


def raised_by_worker(error: Exception) -> FacetracksError | None:
    """The FacetracksError that made a runner raise `error`; None if there is none."""
    if isinstance(error, FacetracksError) and not isinstance(error, errors.VideoError):
        return type(error)(_STEP.sub("", str(error)))
    found = list(_RAISED.finditer(str(error)))
    if not found:
        return None
    message = str(error)[found[-1].end() :]
    return _OURS[found[-1][1]](_STEP.sub("", message).strip())
