"""Numbers that come from a decoding child, with the bounds that msgspec checks when it reads them.

NaN is within no bounds.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Pts: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Step: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
#: Streams of a container, or the index of one; a column of 32 bits has it.
Streams: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
#: Pixels along a side of a frame.
Side: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
#: A coefficient of a matrix.
Coefficient: TypeAlias = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]
