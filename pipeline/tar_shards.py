"""Tar files of about equal size, for WebDataset."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Final

from transforms.storage.atomic_files import Folder, atomic_file

#: About how large a shard is.
_SHARD_BYTES: Final = 256 << 20


class TarShards:
    """The shards of a folder, {prefix}-000000.tar and so on, each published when it is full.

        with TarShards(Folder("TO"), "tracks") as shards:
            shards.add([("000000.json", b"{}"), ("000000.png", png)])

    Attributes:
        files: names of the shards so far, the unfinished one too.
    """

    def __init__(self, to: Folder, prefix: str) -> None:
        self._to, self._prefix = to, prefix
        self._stack = ExitStack()
        self._shard: Any = None
        self.files: list[str] = []

    def __enter__(self) -> TarShards:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, members: Iterable[tuple[str, bytes]]) -> str:
        """Adds (name, content) of what must be in one shard; returns the shard's name."""
        if self._shard is None or self._shard.offset >= _SHARD_BYTES:
            self._stack.close()
            self.files.append(f"{self._prefix}-{len(self.files):06d}.tar")
            path = self._stack.enter_context(atomic_file(str(self._to / self.files[-1])))
            self._shard = self._stack.enter_context(tarfile.TarFile(path, "w"))
        for name, content in members:
            member = tarfile.TarInfo(name)  # dated 1970: the same content gives the same bytes
            member.size = len(content)
            self._shard.addfile(member, io.BytesIO(content))
        return self.files[-1]
