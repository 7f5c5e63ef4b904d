"""Damaged files: truncated, with flipped bytes, with missing packets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.hostile.case import HostileCase
from tests.hostile.damage import (
    cut_short,
    drop_blocks,
    flip_bytes,
    packet_places,
    patch_all,
    zero_headers,
    zero_packets,
)
from tests.hostile.encoding import Clip, Recipe, encode, flat, moving
from tests.hostile.odd_files import sound_case

__all__ = ["write_broken_files"]

_COUNT: Final = 100
_INDEX_FIRST: Final = Recipe(mux={"movflags": "faststart"})
_JPEG: Final = Recipe("mjpeg", pixel_format="yuvj420p")
_PARTIAL: Final[dict[str, Any]] = {"statuses": ("partial",), "reasons": ("bad_packets",)}
_SILENT: Final[dict[str, Any]] = {
    "statuses": ("ok", "partial"),
    "reasons": ("bad_packets", "truncated"),
}
_TS_BYTES: Final = 188


def write_broken_files(folder: Path) -> Iterator[HostileCase]:
    """Writes all of them."""
    yield from _cut(folder / "cut")
    yield from _bad_packets(folder / "packets")
    yield from _flipped(folder / "flipped")
    yield from _bombs(folder / "bombs")


def _cut(folder: Path) -> Iterator[HostileCase]:
    for percent in (10, 50, 90):
        name = f"index-first-{percent}.mp4"
        clip = encode(folder / name, moving(_COUNT), _INDEX_FIRST)
        yield _shortened(clip, f"cut/{name}", percent, "an MP4 with its index at the front")
        name = f"index-last-{percent}.mp4"
        clip = encode(folder / name, moving(_COUNT))
        cut_short(clip.path, percent)
        yield HostileCase(
            f"cut/{name}", f"an MP4 with its index at the end, {percent} % of it",
            ("failed",), ("not_a_video",),
        )  # fmt: skip
        for suffix, what, recipe in (
            ("mkv", "a Matroska file", Recipe()),
            ("avi", "an AVI file", _JPEG),
            ("flv", "a Flash video", Recipe()),
        ):
            clip = encode(folder / f"{percent}.{suffix}", moving(_COUNT), recipe)
            case = _shortened(clip, f"cut/{clip.path.name}", percent, what)
            if suffix == "flv":  # it has no index; only its last packet is truncated
                case = replace(case, reasons=("truncated", "bad_packets"), counted=False)
            yield case
        for suffix, what, recipe in (
            ("ts", "a transport stream", Recipe()),
            ("mpg", "a program stream", Recipe("mpeg2video")),
            ("h264", "a raw stream", Recipe(format="h264")),
        ):
            clip = encode(folder / f"{percent}.{suffix}", moving(_COUNT), recipe)
            case = sound_case(
                f"cut/{clip.path.name}",
                f"{percent} % of {what}, which does not state its length",
                clip,
                **_SILENT,
                counted=False,
            )
            cut_short(clip.path, percent)
            # Frames have about equal shares of the bytes, apart from key frames.
            yield replace(case, frames=(max(1, percent - 15), percent + 5))


def _shortened(clip: Clip, name: str, percent: int, what: str) -> HostileCase:
    case = sound_case(
        name, f"{percent} % of {what}", clip, statuses=("partial",), reasons=("truncated",)
    )
    places = packet_places(clip.path)
    kept = cut_short(clip.path, percent)
    whole = sum(place.stop <= kept for place in places)
    if whole == 0:
        raise ValueError(f"{name}: no frame is whole in {percent} % of the bytes, expected some")
    return replace(case, frames=(whole, whole + 1))  # the last one may be decoded in part


def _bad_packets(folder: Path) -> Iterator[HostileCase]:
    """Packets of zeros. If every frame is a key frame, the expected result is exact."""
    every_key = Recipe(gop=1)
    for name, what, recipe, lost in (
        ("one-jpeg.mkv", "one picture of zeros among JPEGs", _JPEG, [40]),
        ("first-jpeg.avi", "the first picture is zeros", _JPEG, [0]),
        ("last-jpeg.mov", "the last picture is zeros", _JPEG, [_COUNT - 1]),
        ("some-jpeg.mp4", "ten pictures of zeros in a row", _JPEG, list(range(30, 40))),
        ("one-key.mp4", "one packet of zeros, every frame is a key frame", every_key, [40]),
        ("one-key.mkv", "one packet of zeros, every frame is a key frame", every_key, [40]),
        ("one.mp4", "one packet of zeros in the middle of a GOP", Recipe(), [40]),
        ("one.mkv", "one packet of zeros in the middle of a GOP", Recipe(), [40]),
    ):
        clip = encode(folder / name, moving(_COUNT), recipe)
        case = sound_case(f"packets/{name}", what, clip, **_PARTIAL)
        zero_packets(clip.path, lost)
        pts = clip.pts or tuple(range(_COUNT))  # AVI counts frames
        kept = tuple(p for i, p in enumerate(pts) if i not in lost)
        gone = tuple(p for i, p in enumerate(pts) if i in lost)
        yield replace(case, frames=(len(kept), len(kept)), pts=kept, lost_pts=gone)
    for name, what, recipe, lost in (
        ("key-frame.mp4", "a key frame of zeros: its GOP has no reference", Recipe(), [50]),
        ("b-frames.mp4", "five packets of zeros, B-frames", Recipe(b_frames=2), range(20, 70, 10)),
        ("hevc.mp4", "five HEVC packets of zeros", Recipe("libx265"), range(20, 70, 10)),
        ("vp8.webm", "five VP8 packets of zeros", Recipe("libvpx"), range(20, 70, 10)),
        ("vp9.webm", "five VP9 packets of zeros", Recipe("libvpx-vp9"), range(20, 70, 10)),
        ("av1.mp4", "five AV1 packets of zeros", Recipe("libsvtav1"), range(20, 70, 10)),
        ("mpeg4.avi", "five MPEG-4 packets of zeros", Recipe("mpeg4"), range(20, 70, 10)),
    ):  # fmt: skip
        clip = encode(folder / name, moving(_COUNT), recipe)
        case = sound_case(f"packets/{name}", what, clip, **_PARTIAL)
        zero_packets(clip.path, lost)
        yield replace(case, frames=(_COUNT // 4, _COUNT))
    clip = encode(folder / "headers.mkv", moving(_COUNT))
    case = sound_case("packets/headers.mkv", "the headers of three blocks are zeros", clip)
    zero_headers(clip.path, (20, 50, 70), header_bytes=7)
    yield replace(case, **_SILENT, frames=(_COUNT // 4, _COUNT), counted=False)
    clip = encode(folder / "all.mp4", moving(25))
    case = HostileCase(
        "packets/all.mp4", "every packet is zeros", ("failed",), ("no_frames",), pts=clip.pts
    )
    zero_packets(clip.path, range(25))
    yield case


def _flipped(folder: Path) -> Iterator[HostileCase]:
    """Random inverted bytes, of the pictures only: decoded frames have their true pts."""
    for name, recipe, count in (
        ("h264.mp4", _INDEX_FIRST, 20),
        ("h264-b.mp4", replace(_INDEX_FIRST, b_frames=2), 20),
        ("hevc.mp4", replace(_INDEX_FIRST, codec="libx265"), 10),
        ("vp9.mp4", replace(_INDEX_FIRST, codec="libvpx-vp9"), 10),
        ("av1.mp4", replace(_INDEX_FIRST, codec="libsvtav1"), 10),
        ("mpeg4.mp4", replace(_INDEX_FIRST, codec="mpeg4"), 20),
        ("jpeg.mp4", replace(_JPEG, mux={"movflags": "faststart"}), 20),
    ):
        clip = encode(folder / name, moving(_COUNT), recipe)
        case = sound_case(f"flipped/{name}", f"{count} bytes flipped in the pictures", clip)
        first = packet_places(clip.path)[1].start / clip.path.stat().st_size
        flip_bytes(clip.path, count, seed=5, first_share=first)
        yield replace(case, **_SILENT, frames=(1, _COUNT))
    for name, recipe, count in (
        ("anywhere.mkv", Recipe(), 30),
        ("anywhere.ts", Recipe(), 30),
        ("anywhere.flv", Recipe(), 30),
        ("anywhere.avi", Recipe("mpeg4"), 30),
        ("anywhere.mpg", Recipe("mpeg2video", b_frames=2), 30),
        ("anywhere.h264", Recipe(format="h264"), 30),
    ):
        clip = encode(folder / name, moving(_COUNT), recipe)
        case = sound_case(
            f"flipped/{name}", f"{count} bytes flipped, those of the container too", clip
        )
        flip_bytes(clip.path, count, seed=7, first_share=0.1)
        yield replace(case, **_SILENT, frames=(1, _COUNT), pts=None, counted=False)
    for seed in range(6):
        name = f"header-{seed}.mp4"
        clip = encode(folder / name, moving(25))
        index = packet_places(clip.path)[-1].stop / clip.path.stat().st_size
        flip_bytes(clip.path, 6, seed=seed, first_share=index)
        yield HostileCase(
            f"flipped/{name}", "6 bytes flipped in the index: any result is allowed",
            ("ok", "partial", "failed"), ("bad_packets", "truncated", "not_a_video", "no_frames",
            "no_video_stream", "decoder_error", "pixel_limit"),
            frames=(0, 25), counted=False,
        )  # fmt: skip
    clip = encode(folder / "lost.ts", moving(_COUNT), Recipe(b_frames=2))
    case = sound_case("flipped/lost.ts", "every 40th packet of a transport stream is lost", clip)
    drop_blocks(clip.path, block_bytes=_TS_BYTES, every=40)
    # It numbers its packets, but not its frames.
    yield replace(case, **_PARTIAL, frames=(_COUNT // 2, _COUNT), counted=False)


def _bombs(folder: Path) -> Iterator[HostileCase]:
    """A few kilobytes that claim 400 megapixels, and one picture of 59."""
    refused: dict[str, Any] = {"statuses": ("failed",), "reasons": ("pixel_limit", "no_frames")}
    for name, what, count, recipe in (
        ("jpeg.mjpeg", "JPEGs whose headers claim 20000x20000", 3, replace(_JPEG, format="mjpeg")),
        ("jpeg.mov", "JPEGs of 20000x20000 in a container that claims 96x72", 3, _JPEG),
    ):
        clip = encode(folder / name, moving(count), recipe)
        patch_all(clip.path, _jpeg_size(72, 96), _jpeg_size(20_000, 20_000))
        yield HostileCase(f"bombs/{name}", what, **refused)
    clip = encode(folder / "anim.gif", moving(3), Recipe("gif", pixel_format="rgb8"))
    content = bytearray(clip.path.read_bytes())
    content[6:10] = struct.pack("<HH", 20_000, 20_000)
    clip.path.write_bytes(content)
    yield HostileCase("bombs/anim.gif", "a GIF whose header claims 20000x20000", **refused)
    for name, recipe in (("7680x7680.mp4", Recipe("mpeg4")), ("7680x7680.avi", _JPEG)):
        encode(folder / name, flat(1, 7680, 7680), recipe)
        yield HostileCase(
            f"bombs/{name}", "7680x7680 pixels, more than allowed", ("failed",), ("pixel_limit",)
        )


def _jpeg_size(height: int, width: int) -> bytes:
    return b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width)
