"""Python processes of ours that import the installed package and nothing of the current folder.

`python -m` puts the current folder first on the import path, so a folder with `models/` or
`calendar.py` in it would replace our modules or the standard library's, and its code would run.
Every process that this package starts therefore runs with a safe path (`-P`).
"""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path
from typing import Final

#: The folder that holds the top-level package of this module: site-packages, or the checkout.
_ROOT: Final = Path(__file__).resolve().parents[__name__.count(".")]


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module, by its full name, with a safe path."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment(**variables: str) -> dict[str, str]:
    """The environment for `python_command`: this process's, and `variables`.

    PYTHONPATH keeps its absolute entries (an empty or relative one means the current folder)
    and leads to this package where it is not installed.
    """
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [entry for entry in given if Path(entry).is_absolute()]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if str(_ROOT) not in [*map(os.path.realpath, installed), *kept]:
        kept.append(str(_ROOT))
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(kept), **variables}
