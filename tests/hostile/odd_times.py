"""Files with unusual times or headers; every frame exists."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from tests.hostile.case import HostileCase
from tests.hostile.damage import overwrite, patch_all, retime_flv
from tests.hostile.encoding import Recipe, encode, moving
from tests.hostile.odd_files import sound_case
from tests.hostile.packed_frames import remux, write_packed

__all__ = ["write_lying_headers", "write_odd_times"]

_MP4_STEP = 512  # pts of a frame at 25 a second: a time base of 1/12800


def write_odd_times(folder: Path) -> Iterator[HostileCase]:
    """Variable rates, gaps, times before zero or out of order, edit lists, endless GOPs."""
    at = [*range(25), *range(525, 550)]
    for name in ("gap.mp4", "gap.mkv"):
        clip = encode(folder / name, moving(50), Recipe(at=at))
        yield sound_case(f"times/{name}", "variable frame rate with a gap of 20 s", clip)
    jittery = [0, 1, 2, 10, 11, 30, 31, 32, 70, 71, 90, 91]
    clip = encode(folder / "variable.mp4", moving(12), Recipe(at=jittery, gop=3, b_frames=1))
    yield sound_case("times/variable.mp4", "variable frame rate, B-frames", clip)
    clip = encode(folder / "late.mp4", moving(25), Recipe(at=range(2500, 2525)))
    yield sound_case("times/late.mp4", "the first frame comes at 100 s (an empty edit)", clip)
    clip = encode(folder / "far.ts", moving(25), Recipe(at=range(2_000_000, 2_000_025)))
    yield sound_case("times/far.ts", "the first frame comes at 22 hours", clip)
    clip = encode(folder / "fine.mkv", moving(50), Recipe(rate=1000, at=range(0, 150, 3)))
    yield sound_case("times/fine.mkv", "frames 3 ms apart", clip)
    clip = encode(folder / "long-gop.mp4", moving(3000, 64, 48), Recipe(gop=100_000))
    yield sound_case("times/long-gop.mp4", "one GOP of 3000 frames", clip, segments=1)
    yield _negative(folder)
    shown = Recipe(at=range(-30, 20), mux={"avoid_negative_ts": "disabled"})
    clip = encode(folder / "negative.mkv", moving(50), shown)
    yield sound_case("times/negative.mkv", "the first 30 pts are negative, in Matroska", clip)
    clip = encode(folder / "twice.flv", moving(50))
    retime_flv(clip.path, dict.fromkeys(range(1, 50, 2), -40))
    what = "every timestamp twice; the second frame comes a step after the first"
    yield sound_case("times/twice.flv", what, clip)
    yield _unordered(folder)
    yield _restarting(folder)
    yield from _edit_lists(folder)
    yield from _decoding_times(folder)


def _negative(folder: Path) -> HostileCase:
    clip = encode(folder / "negative.flv", moving(25))
    retime_flv(clip.path, dict.fromkeys(range(25), -200))
    pts = tuple(range(-200, 800, 40))
    return sound_case("times/negative.flv", "the first five pts are negative", clip, pts=pts)


def _unordered(folder: Path) -> HostileCase:
    """Stored pts 0 40 -20 120 160 200 240 180 ...: one not above the last continues from it."""
    clip = encode(folder / "unordered.flv", moving(25))
    retime_flv(clip.path, dict.fromkeys(range(2, 25, 5), -100))
    pts = tuple(range(0, 1000, 40))
    what = "pts that go back at every fifth frame; such a frame continues from the previous one"
    return sound_case("times/unordered.flv", what, clip, pts=pts)


def _restarting(folder: Path) -> HostileCase:
    """The same recording twice in one stream: times restart."""
    clip = encode(folder / "restarting.ts", moving(50))
    clip.path.write_bytes(clip.path.read_bytes() * 2)
    pts = tuple(range(0, 100 * 3600, 3600))
    what = "timestamps that restart midway; the second half continues from the first"
    return sound_case("times/restarting.ts", what, clip, frames=(100, 100), pts=pts)


def _edit_lists(folder: Path) -> Iterator[HostileCase]:
    """The edit list shows a part of the 50 frames that are stored."""
    for name, b_frames, first, shown in (
        ("edit-start.mp4", 0, 10, 40),
        ("edit-both.mp4", 0, 10, 30),
        ("edit-b-frames.mp4", 2, 10, 40),
    ):
        clip = encode(folder / name, moving(50), Recipe(b_frames=b_frames))
        lead = 2 * _MP4_STEP if b_frames else 0  # B-frames: media time begins two frames late
        edit = struct.pack(">II", shown * 40, first * _MP4_STEP + lead)
        overwrite(clip.path, b"elst", 12, edit)
        pts = tuple(range(0, shown * _MP4_STEP, _MP4_STEP))
        what = f"an edit list that shows {shown} of 50 frames"
        what += ", B-frames" if b_frames else ""
        yield sound_case(f"times/{name}", what, clip, frames=(shown, shown), pts=pts)


def _decoding_times(folder: Path) -> Iterator[HostileCase]:
    """B-frames whose packets have decoding times in place of presentation times."""
    recipe = Recipe(b_frames=3, gop=12)
    clip = encode(folder / "decoding.avi", moving(50), recipe)
    what = "AVI has no presentation times: H.264 with B-frames"
    yield sound_case("times/decoding.avi", what, clip, pts=tuple(range(1, 51)))
    remux(clip.path, folder / "decoding.mkv")
    what = "the same, with its decoding times copied to Matroska"
    told = {"pts": tuple(range(40, 2040, 40)), "time_base": Fraction(1, 1000)}
    yield sound_case("times/decoding.mkv", what, clip, **told)
    for name, what, skipped in (
        ("packed.avi", "MPEG-4 with packed B-frames", 0),
        ("packed.mkv", "MPEG-4 with packed B-frames, copied to Matroska", 0),
        ("not-coded.avi", "MPEG-4 with packed B-frames and two pictures that are not coded", 2),
        ("not-coded.mkv", "the same, copied to Matroska", 2),
    ):
        path = write_packed(folder / name, moving(50), skipped)
        step = 40 if path.suffix == ".mkv" else 1
        pts = tuple(step * (1 + i + (skipped if i > 24 else 0)) for i in range(50))
        time_base = Fraction(1, 25 * step)
        yield sound_case(f"times/{name}", what, clip, pts=pts, time_base=time_base)


def write_lying_headers(folder: Path) -> Iterator[HostileCase]:
    """Headers with a wrong number of frames or a wrong length."""

    def lie(name: str, what: str, recipe: Recipe | None = None) -> tuple[Path, HostileCase]:
        clip = encode(folder / name, moving(50), recipe)
        return clip.path, sound_case(f"lies/{name}", what, clip)

    for frames in (7, 99_999):
        path, case = lie(f"count-{frames}.avi", f"header claims {frames} frames", Recipe("mpeg4"))
        overwrite(path, b"avih", 8 + 16, struct.pack("<I", frames))
        overwrite(path, b"strh", 8 + 32, struct.pack("<I", frames))
        yield case
        path, case = lie(f"count-{frames}.ivf", f"header claims {frames} frames", Recipe("libvpx"))
        overwrite(path, b"DKIF", 24, struct.pack("<I", frames))
        yield case
    path, case = lie("count.mp4", "header claims 5000 frames in its table of times")
    overwrite(path, b"stts", 12, struct.pack(">I", 5000))
    yield case
    path, case = lie("long.mp4", "header claims 200 s", Recipe(gop=10))
    overwrite(path, b"mdhd", 20, struct.pack(">I", 200 * 12_800))
    overwrite(path, b"mvhd", 20, struct.pack(">I", 200 * 1000))
    yield case
    for seconds in (0.1, 200.0):
        path, case = lie(f"long-{seconds:g}.mkv", f"header claims {seconds:g} s", Recipe(gop=10))
        overwrite(path, b"\x44\x89\x88", 3, struct.pack(">d", seconds * 1000))
        yield case
        path, case = lie(f"long-{seconds:g}.flv", f"header claims {seconds:g} s", Recipe(gop=10))
        overwrite(path, b"duration\x00", 9, struct.pack(">d", seconds))
        yield case
    path, case = lie("rate.flv", "header claims 1000 frames a second")
    overwrite(path, b"framerate\x00", 10, struct.pack(">d", 1000.0))
    yield case
    path, case = lie("key-frames.mp4", "the table of key frames lacks the first one")
    overwrite(path, b"stss", 8, struct.pack(">II", 1, 26))
    yield case
    path, case = lie("moov.mov", "states another kind of MP4")
    patch_all(path, b"ftypqt  ", b"ftypXXXX")
    yield case
