"""The command line, with a log of every segment whose decoding starts.

python counted_annotate.py LOG annotate ...
"""

from __future__ import annotations

import os
import sys
from typing import Any

from pipeline.cli import main
from schemas.records import Segment
from transforms import decode_windows
from transforms.parts import part_url
from transforms.storage import Folder


def count_decoding(log: str) -> None:
    """From now on each segment that is given to a decoding child leaves a line in `log`."""

    class CountedChild(decode_windows.DecodingChild):
        def decode(self, segment: Segment) -> Any:
            name = part_url(Folder("staging"), segment).rpartition("/")[2]
            line = f"{segment.video.video_id}\t{name}\n".encode()
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, line)
            os.close(descriptor)
            return super().decode(segment)

    decode_windows.DecodingChild = CountedChild  # type: ignore[misc]


if __name__ == "__main__":
    count_decoding(sys.argv[1])
    main(sys.argv[2:])
