"""The command line, killed just before it changes a file.

python killed_command.py WORD N compact OUT

The process is killed by SIGKILL, without cleanup, before the N-th file whose path contains WORD
is written or removed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pipeline.commands import cli

__all__ = ["main"]


def main(word: str, number: int, arguments: list[str]) -> None:
    """Runs the command until just before that change."""
    left = number

    def look(event: str, details: tuple[Any, ...]) -> None:
        nonlocal left
        if event in ("os.rename", "os.remove") and any(word in str(one) for one in details[:2]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
