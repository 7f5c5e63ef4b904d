"""Valid files that tools often reject: several streams, repeats, unusual beginnings."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from models.synthesis.astronaut import load_astronaut
from tests.clips import drifting, write_from_packet, write_streams
from tests.hostile.case import HostileCase
from tests.hostile.damage import overwrite
from tests.hostile.encoding import Recipe, encode, moving
from tests.hostile.odd_files import sound_case

__all__ = ["write_odd_streams"]

_COUNT = 50
_JPEG = Recipe("mjpeg", pixel_format="yuvj420p")


def write_odd_streams(folder: Path) -> Iterator[HostileCase]:
    """Writes all of them."""
    for name in ("streams", "repeats", "begun", "times", "lies"):
        (folder / name).mkdir(exist_ok=True)
    yield from _streams(folder / "streams")
    yield from _repeats(folder / "repeats")
    yield from _begun(folder / "begun")
    yield from _times(folder / "times")
    yield from _placeholders(folder / "lies")


def _streams(folder: Path) -> Iterator[HostileCase]:
    video = (moving(_COUNT, 160, 120), "libx264", "yuv420p", None)
    cover = (moving(1, 320, 240), "mjpeg", "yuvj420p", None)
    for name, what, others in (
        ("still-first.mkv", "a still picture before the video", [cover]),
        ("silent-first.ts", "a stream without packets before it", [([], *video[1:])]),
        ("alpha-first.mkv", "an alpha plane before it", [(video[0], "ffv1", "gray", None)]),
        ("small-first.ts", "a smaller stream before it", [(moving(_COUNT), *video[1:])]),
    ):
        write_streams(folder / name, [*others, video])
        yield HostileCase(
            f"streams/{name}", what, frames=(_COUNT, _COUNT), upright_size_px=(160, 120),
            stream=(1, 2), counted=False,
        )  # fmt: skip


def _repeats(folder: Path) -> Iterator[HostileCase]:
    pictures = drifting(120, 160, 120)[::4]
    for name, what, times, recipe in (
        ("doubled.mp4", "every frame twice", [2], Recipe()),
        ("doubled-b.mkv", "every frame twice, B-frames", [2], Recipe(b_frames=2)),
        ("tripled.mp4", "every frame three times", [3], Recipe()),
        ("pulldown.mp4", "frames alternately twice and three times", [2, 3], Recipe()),
        ("doubled.mpg", "every frame twice, MPEG-2", [2], Recipe("mpeg2video")),
        ("none.mp4", "no frame twice", [1], Recipe()),
    ):
        shown = [p for i, p in enumerate(pictures) for _ in range(times[i % len(times)])]
        clip = encode(folder / name, shown, recipe)
        repeats = len(shown) - len(pictures)
        yield sound_case(f"repeats/{name}", what, clip, repeats=repeats)
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 3, (_COUNT, 120, 160, 1))
    noisy = [np.clip(pictures[0] + g, 0, 255).astype(np.uint8) for g in grain]
    clip = encode(folder / "noise.mp4", noisy, Recipe(options={"crf": "14"}))
    yield sound_case("repeats/noise.mp4", "a still picture with noise", clip, repeats=0)


def _begun(folder: Path) -> Iterator[HostileCase]:
    """The same packets in several containers, without the first key frame."""
    clip = encode(folder.parent.parent / "begun.mp4", moving(60), Recipe(gop=20))
    for suffix in ("mkv", "mp4", "mov", "flv", "ts"):
        name = f"middle.{suffix}"
        write_from_packet(folder / name, clip.path, 7)
        what = "a recording that begins in the middle of a group of pictures"
        yield HostileCase(f"begun/{name}", what, frames=(40, 53), counted=False)
    clip.path.unlink()


def _times(folder: Path) -> Iterator[HostileCase]:
    epoch = 1_700_000_000 * 25
    clip = encode(folder / "epoch.mkv", moving(_COUNT), Recipe(at=range(epoch, epoch + _COUNT)))
    yield sound_case("times/epoch.mkv", "timestamps count from 1970", clip)
    photograph = load_astronaut()
    faces = [photograph[20:230, 90 + i : 370 + i] for i in range(8)]
    small = [cv2.resize(f, (160, 120), interpolation=cv2.INTER_AREA) for f in faces]
    clip = encode(folder / "sparse.mp4", small, Recipe(at=range(0, 800, 100)))
    yield sound_case("times/sparse.mp4", "a face, a picture every 4 s", clip, faces=1)
    pauses = [25 * (i // 4) + i % 4 for i in range(8)]
    clip = encode(folder / "pauses.mp4", small, Recipe(at=pauses))
    yield sound_case("times/pauses.mp4", "a face, a pause of 0.9 s after 4 frames", clip, faces=1)


def _placeholders(folder: Path) -> Iterator[HostileCase]:
    for name, riff, movi in (
        ("piped.avi", 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("stopped.avi", 0, 0),
        ("two-gigabytes.avi", 0x7FFF_FFFF, 0x7FFF_FFFF),
        ("off-by-eight.avi", -8, 0),
        ("longer-by-eight.avi", 8, 8),
    ):
        clip = encode(folder / name, moving(_COUNT), _JPEG)
        content = clip.path.read_bytes()
        at = content.index(b"movi") - 4
        whole, pictures = (struct.unpack("<I", content[place : place + 4])[0] for place in (4, at))
        known = abs(riff) <= 8 and abs(movi) <= 8 and (riff, movi) != (0, 0)
        sizes = (whole + riff, pictures + movi) if known else (riff, movi)
        overwrite(clip.path, b"RIFF", 4, struct.pack("<I", sizes[0]))
        overwrite(clip.path, b"movi", -4, struct.pack("<I", sizes[1]))
        yield sound_case(f"lies/{name}", "an AVI whose sizes are placeholders or wrong", clip)
    clip = encode(folder / "billion-seconds.mkv", moving(_COUNT), Recipe(gop=10))
    overwrite(clip.path, b"\x44\x89\x88", 3, struct.pack(">d", 1e12))
    yield sound_case("lies/billion-seconds.mkv", "header claims 1,000,000,000 s", clip)
