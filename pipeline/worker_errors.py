"""Errors of ours that a runner brings back from its workers: as text, inside its own errors."""

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
    """The error of ours behind what a runner raised; None where it is another's."""
    if isinstance(error, FacetracksError) and not isinstance(error, errors.VideoError):
        return type(error)(_STEP.sub("", str(error)))
    told = list(_RAISED.finditer(str(error)))
    if not told:
        return None
    message = str(error)[told[-1].end() :]
    return _OURS[told[-1][1]](_STEP.sub("", message).strip())
