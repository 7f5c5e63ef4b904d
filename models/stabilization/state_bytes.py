"""A stabilizer's state as bytes, without the parameters that every track shares.

The parameters of `rts` are 148 kB, its state about 100 kB a face. A state stored
between two bundles refers to its parameters by number; the reader supplies them.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from typing import Any


def state_to_bytes(state: Any, parameters: Sequence[object]) -> bytes:
    """Any picklable state; references to one of `parameters` are stored as its number.

    The reader passes the same `parameters`, in the same order.
    """
    numbers = {id(shared): number for number, shared in enumerate(parameters)}
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = lambda obj: numbers.get(id(obj))  # type: ignore[method-assign]
    pickler.dump(state)
    return content.getvalue()


def state_from_bytes(content: bytes, parameters: Sequence[object]) -> Any:
    """Inverse of `state_to_bytes`; for bytes of our own workers only, since it is a pickle."""
    reader = pickle.Unpickler(io.BytesIO(content))  # noqa: S301 - a runner's state, ours
    reader.persistent_load = parameters.__getitem__  # type: ignore[method-assign]
    return reader.load()
