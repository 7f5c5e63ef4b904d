"""The command line, with a log of every segment whose decoding starts.

python counted_annotate.py LOG annotate ...
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pipeline.commands import cli

if TYPE_CHECKING:
    from schemas.records import Segment

__all__ = ["main"]


def main(log: str, arguments: list[str]) -> None:
    """Runs the command; each segment sent to a decoding child adds a line to `log`."""
    cli._quiet_libraries()  # before Beam is imported, as the command itself does it
    from transforms.decoding import child_pool
    from transforms.storage.atomic_files import Folder
    from transforms.storage.parts import part_url

    class CountedChild(child_pool.DecodingChild):
        def decode(self, segment: Segment, *more: Any) -> Any:
            name = part_url(Folder("staging"), segment).rpartition("/")[2]
            line = f"{segment.video.video_id}\t{name}\n".encode()
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, line)
            os.close(descriptor)
            return super().decode(segment, *more)

    child_pool.DecodingChild = CountedChild  # type: ignore[misc]
    cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
