"""Functions that damage the bytes of a file."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np

__all__ = [
    "Place",
    "cut_short",
    "drop_blocks",
    "flip_bytes",
    "overwrite",
    "packet_places",
    "patch_all",
    "retime_flv",
    "zero_headers",
    "zero_packets",
]

_FLV_VIDEO_TAG: Final = 9
_FLV_HEADER_BYTES: Final = 13


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a video packet's bytes in its file, in decoding order."""

    start: int
    stop: int
    pts: int | None


def packet_places(path: Path) -> list[Place]:
    """The positions of an undamaged file's video packets."""
    content, places = path.read_bytes(), []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                # Some containers report the start of the frame around the packet.
                start = content.index(bytes(packet), packet.pos)
                places.append(Place(start, start + packet.size, packet.pts))
    return places


def cut_short(path: Path, percent: int) -> int:
    """Keeps the first `percent` of the bytes; returns their number."""
    content = path.read_bytes()
    kept = len(content) * percent // 100
    path.write_bytes(content[:kept])
    return kept


def zero_packets(path: Path, numbers: Iterable[int]) -> None:
    """Overwrites some packets with zeros."""
    content = bytearray(path.read_bytes())
    places = packet_places(path)
    for number in numbers:
        place = places[number]
        content[place.start : place.stop] = bytes(place.stop - place.start)
    path.write_bytes(content)


def zero_headers(path: Path, numbers: Iterable[int], header_bytes: int) -> None:
    """Overwrites the container's bytes before some packets with zeros, but not the packets."""
    content = bytearray(path.read_bytes())
    for place in (packet_places(path)[number] for number in numbers):
        content[place.start - header_bytes : place.start] = bytes(header_bytes)
    path.write_bytes(content)


def flip_bytes(path: Path, count: int, *, seed: int, first_share: float = 0.0) -> None:
    """Inverts `count` bytes at random positions after `first_share` of the file."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    places = rng.choice(np.arange(int(len(content) * first_share), len(content)), count, False)
    content[places] ^= 0xFF
    path.write_bytes(content.tobytes())


def drop_blocks(path: Path, *, block_bytes: int, every: int) -> None:
    """Removes every n-th block, like lost packets of a broadcast."""
    content = path.read_bytes()
    blocks = [content[i : i + block_bytes] for i in range(0, len(content), block_bytes)]
    path.write_bytes(b"".join(b for i, b in enumerate(blocks) if i % every != every - 1))


def overwrite(path: Path, marker: bytes, offset: int, new: bytes) -> None:
    """Writes `new` at `offset` bytes after the only `marker`."""
    content = bytearray(path.read_bytes())
    if content.count(marker) != 1:
        raise ValueError(f"{path.name}: got {content.count(marker)} times {marker!r}, expected one")
    start = content.index(marker) + offset
    content[start : start + len(new)] = new
    path.write_bytes(content)


def patch_all(path: Path, old: bytes, new: bytes) -> None:
    """Puts `new` in place of every `old` of the same length."""
    content = path.read_bytes()
    if old not in content or len(old) != len(new):
        raise ValueError(f"{path.name}: got no {old!r} to replace by {new!r}, expected one")
    path.write_bytes(content.replace(old, new))


def retime_flv(path: Path, offsets_ms: dict[int, int]) -> None:
    """Sets the composition offset (pts - dts, signed) of some H.264 frames of an .flv."""
    content = bytearray(path.read_bytes())
    at, frame = _FLV_HEADER_BYTES, 0
    while at < len(content):
        size = int.from_bytes(content[at + 1 : at + 4], "big")
        body = at + 11
        if content[at] == _FLV_VIDEO_TAG and content[body + 1] == 1:  # a coded picture
            if frame in offsets_ms:
                content[body + 2 : body + 5] = struct.pack(">i", offsets_ms[frame])[1:]
            frame += 1
        at = body + size + 4
    path.write_bytes(content)
