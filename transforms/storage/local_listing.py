"""Local files by folder and by pattern; symbolic links to folders are followed.

Link cycles end: a folder that is already on the path is not entered again.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from typing import Final

import fsspec

_ANY_DEPTH: Final = "**"
#: The identity of a folder: device and inode, whatever links lead to it.
_Identity = tuple[int, int]


def files_below(folder: str) -> Iterator[str]:
    """Every file below a folder, through links too.

    A dangling link counts as a file, and so does a folder that cannot be listed.
    """
    for inside in _folders_below(folder, ()):
        if not os.access(inside, os.R_OK | os.X_OK):
            yield inside
            continue
        paths = (os.path.join(inside, name) for name in _names(inside))
        yield from (path for path in paths if not os.path.isdir(path))


def glob_files(pattern: str) -> list[str]:
    """The files that match an absolute pattern, sorted: `*`, `?`, `[...]`, `**` for any depth."""
    found = [os.sep]
    parts = [part for part in pattern.split(os.sep) if part]
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        found = [match for folder in found for match in _matches(folder, part, last=last)]
    return sorted({path for path in found if not os.path.isdir(path)})


def _matches(folder: str, part: str, *, last: bool) -> Iterator[str]:
    if part == _ANY_DEPTH:
        yield from files_below(folder) if last else _folders_below(folder, ())
    elif not fsspec.core.has_magic(part):
        path = os.path.join(folder, part)
        if os.path.lexists(path):
            yield path
    else:
        wanted = re.compile(fnmatch.translate(part))
        for name in _names(folder):
            if wanted.match(name):
                yield os.path.join(folder, name)


def _folders_below(folder: str, above: tuple[_Identity, ...]) -> Iterator[str]:
    """The folder and all folders below it, without link cycles."""
    try:
        status = os.stat(folder)
    except OSError:
        return
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    yield folder
    for name in _names(folder):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from _folders_below(path, (*above, identity))


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # not a folder, or no permission
        return []
