"""The videos of a run, in a temporary file: a million of them take little memory."""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import astuple, replace
from hashlib import blake2b, sha256
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.records import Video, VideoFailure

_DIGEST_BYTES: Final = 16
_IN_MEMORY_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 16


class TextDigests:
    """16-byte hashes of many texts, to find equal ones."""

    def __init__(self) -> None:
        self._digests = bytearray()

    def add(self, text: str) -> None:
        """Takes the next text."""
        content = text.encode("utf-8", "surrogatepass")
        self._digests += blake2b(content, digest_size=_DIGEST_BYTES).digest()

    def first(self) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether each text is the first of those that are equal to it."""
        digests = self._array()
        is_first = np.zeros(len(digests), bool)
        is_first[np.unique(digests, return_index=True)[1]] = True
        return is_first

    def shared(self, among: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(N,) bool: whether each text of those `among` (N,) bool equals another one of them."""
        is_shared = np.zeros(len(among), bool)
        _, group, count = np.unique(self._array()[among], return_inverse=True, return_counts=True)
        is_shared[among] = count[group] > 1
        return is_shared

    def _array(self) -> npt.NDArray[np.bytes_]:
        return np.frombuffer(bytes(self._digests), f"S{_DIGEST_BYTES}")


class FoundVideos(Collection[Video]):
    """Distinct videos with distinct ids, in the order in which they were found.

    Where different ones share an id, each gets a hash of what tells them apart. They are read
    from a temporary file each time they are iterated.

    found: videos, each with the folder that it was found in.
    limit: only so many videos, the first ones; None is all.
    twice: how many repeats of a video were left out.
    """

    def __init__(self, found: Iterable[tuple[Video, str]], limit: int | None = None) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - for long
        weakref.finalize(self, self._file.close)
        self._folders: list[str] = []
        videos, ids = TextDigests(), TextDigests()
        for video, folder in found:
            if not self._folders or self._folders[-1] != folder:
                self._folders.append(folder)
            fields = json.dumps(astuple(video))  # not by msgspec: names may be no UTF-8
            self._file.write(f"[{len(self._folders) - 1}, {fields}]\n".encode())
            videos.add(fields)
            ids.add(video.video_id)
        first = videos.first()
        self.twice = int((~first).sum())
        self._shared = ids.shared(first)
        self._kept = first if limit is None else first & (first.cumsum() <= limit)

    def __len__(self) -> int:
        return int(self._kept.sum())

    def __contains__(self, video: object) -> bool:
        return any(video == other for other in self)

    def __iter__(self) -> Iterator[Video]:
        return (video for _, video in self._numbered())

    def refuse(self, check: Callable[[Video], VideoFailure | None]) -> list[VideoFailure]:
        """Removes the videos for which `check` returns a failure; returns the failures."""
        refused = {n: f for n, video in self._numbered() if (f := check(video)) is not None}
        self._kept[list(refused)] = False
        return list(refused.values())

    def _numbered(self) -> Iterator[tuple[int, Video]]:
        for number, line in enumerate(self._lines()):
            if self._kept[number]:
                folder, fields = json.loads(line)
                video, shared = Video(*fields), self._shared[number]
                yield number, with_hash(video, self._folders[folder]) if shared else video

    def _lines(self) -> Iterator[bytes]:
        """The lines of the file; several iterators may read it at the same time."""
        place = 0
        while True:
            self._file.seek(place)
            lines = self._file.readlines(_READ_BYTES)
            place = self._file.tell()
            if not lines:
                return
            yield from lines


def with_hash(video: Video, folder: str = "") -> Video:
    """The video with a hash of its place below a folder in its id, which others have, too.

    So its id stays when all of the folder moves.
    """
    start = f"{folder.rstrip('/')}/" if folder else ""
    boxes = video.boxes_uri
    boxes_below = None if boxes is None else boxes.removeprefix(start)
    below = video.uri.removeprefix(start)
    what = repr((below, video.start_seconds, video.stop_seconds, boxes_below))
    digest = sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    return replace(video, video_id=f"{video.video_id}-{digest[:8]}")
