"""Unusual valid files of every kind: nothing may be lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np

from models.synthesis.astronaut import load_astronaut
from tests.hostile.case import HostileCase
from tests.hostile.encoding import Clip, Recipe, encode, flat, moving
from tests.hostile.packed_frames import remux

__all__ = ["sound_case", "write_odd_files"]

_JPEG: Final = Recipe("mjpeg", pixel_format="yuvj420p")
_PNG: Final = Recipe("png", pixel_format="rgb24")
_BRICK: Final = (182, 109, 85)  # a colour of 3, 3 and 2 bits, for the palette
_COUNT: Final = 50

#: name, what, recipe: pictures of 96x72, two seconds.
_CODECS: Final = (
    ("h264.mp4", "H.264 without B-frames", Recipe()),
    ("h264-b.mp4", "H.264 with B-frames", Recipe(b_frames=2)),
    ("h264-b.mov", "H.264 with B-frames in QuickTime", Recipe(b_frames=3)),
    ("h264-b.mkv", "H.264 with B-frames in Matroska", Recipe(b_frames=2)),
    ("h264-b.avi", "H.264 with B-frames in a container without pts", Recipe(b_frames=2)),
    ("h264-b.ts", "H.264 with B-frames in a transport stream", Recipe(b_frames=2)),
    ("h264-b.flv", "H.264 with B-frames in Flash video", Recipe(b_frames=2)),
    ("h264-b.h264", "a raw H.264 stream: no times at all", Recipe(format="h264", b_frames=2)),
    ("h264-open-gop.mp4", "B-frames with open GOPs",
     Recipe(gop=24, b_frames=2, options={"x264-params": "open-gop=1"})),
    ("h264-refresh.mp4", "no key frame but the first: pictures are refreshed in strips",
     Recipe(gop=20, options={"x264-params": "intra-refresh=1"})),
    ("h264-fragments.mp4", "a fragmented MP4, without an index of the whole",
     Recipe(mux={"movflags": "frag_keyframe+empty_moov"})),
    ("hevc.mp4", "HEVC", Recipe("libx265")),
    ("hevc-open-gop.mkv", "HEVC, B-frames with open GOPs",
     Recipe("libx265", gop=24, b_frames=3, options={"x265-params": "open-gop=1:b-adapt=0"})),
    ("hevc.hevc", "a raw HEVC stream", Recipe("libx265", format="hevc", b_frames=2)),
    ("vp8.webm", "VP8", Recipe("libvpx")),
    ("vp8.ivf", "VP8 in IVF", Recipe("libvpx")),
    ("vp9.webm", "VP9", Recipe("libvpx-vp9")),
    ("vp9.mp4", "VP9 in MP4", Recipe("libvpx-vp9")),
    ("av1.mp4", "AV1", Recipe("libsvtav1")),
    ("av1.mkv", "AV1 in Matroska", Recipe("libsvtav1")),
    ("av1.obu", "a raw AV1 stream", Recipe("libsvtav1", format="obu")),
    ("mpeg1.mpg", "MPEG-1 in a program stream", Recipe("mpeg1video", b_frames=2)),
    ("mpeg1.m1v", "a raw MPEG-1 stream", Recipe("mpeg1video", format="mpeg1video", b_frames=2)),
    ("mpeg2.mpg", "MPEG-2 in a program stream", Recipe("mpeg2video", b_frames=2)),
    ("mpeg2.ts", "MPEG-2 in a transport stream", Recipe("mpeg2video", b_frames=2)),
    ("mpeg4.mp4", "MPEG-4 with B-frames", Recipe("mpeg4", b_frames=2)),
    ("mpeg4.avi", "MPEG-4 with B-frames in AVI", Recipe("mpeg4", b_frames=2)),
    ("mpeg4.m4v", "a raw MPEG-4 stream", Recipe("mpeg4", format="m4v")),
    ("mjpeg.avi", "Motion JPEG in AVI", _JPEG),
    ("mjpeg.mov", "Motion JPEG in QuickTime", _JPEG),
    ("ipcam.mjpg", "JPEG pictures in parts, as IP cameras send them",
     Recipe("mjpeg", format="mpjpeg", pixel_format="yuvj420p")),
    ("mjpeg.mjpeg", "JPEG pictures in a row, no container", replace(_JPEG, format="mjpeg")),
    ("anim.gif", "an animated GIF", Recipe("gif", pixel_format="rgb8")),
    ("sorenson.flv", "Sorenson H.263 in Flash video", Recipe("flv")),
    ("wmv2.asf", "Windows Media Video", Recipe("wmv2")),
    ("ffv1.mkv", "FFV1, lossless", Recipe("ffv1")),
    ("prores.mov", "ProRes, 10 bits, 4:2:2", Recipe("prores", pixel_format="yuv422p10le")),
    ("raw.y4m", "uncompressed frames", Recipe("wrapped_avframe", format="yuv4mpegpipe")),
    ("h264.nut", "H.264 in NUT", Recipe()),
    ("interlaced.mp4", "interlaced H.264", Recipe(options={"x264-params": "tff=1"})),
    ("interlaced.mpg", "interlaced MPEG-2", Recipe("mpeg2video", options={"flags": "+ildct+ilme"})),
)  # fmt: skip

#: name, what, recipe: one colour, whose decoded pixels must equal the encoded ones.
_COLOURS: Final = (
    ("limited-601.mp4", "limited range, BT.601", Recipe()),
    ("limited-709.mp4", "limited range, BT.709", Recipe(matrix="ITU709")),
    ("full-601.mp4", "full range, BT.601", Recipe(full_range=True)),
    ("full-709.mp4", "full range, BT.709", Recipe(full_range=True, matrix="ITU709")),
    ("10-bit.mp4", "10 bits a sample", Recipe(pixel_format="yuv420p10le")),
    ("10-bit-hevc.mp4", "10 bits a sample, HEVC", Recipe("libx265", pixel_format="yuv420p10le")),
    ("422.mp4", "chroma 4:2:2", Recipe(pixel_format="yuv422p")),
    ("422-10.mov", "chroma 4:2:2, 10 bits, full range",
     Recipe(pixel_format="yuv422p10le", full_range=True)),
    ("444.mp4", "chroma 4:4:4", Recipe(pixel_format="yuv444p", matrix="ITU709")),
    ("rgb.mp4", "H.264 that stores RGB", Recipe("libx264rgb", pixel_format="rgb24")),
    ("jpeg-range.avi", "JPEG's full range", _JPEG),
    ("alpha.webm", "VP9 with an alpha plane", Recipe("libvpx-vp9", pixel_format="yuva420p")),
    ("alpha-png.mov", "PNG pictures with alpha", Recipe("png", pixel_format="rgba")),
    ("alpha-rle.mov", "QuickTime Animation with alpha", Recipe("qtrle", pixel_format="argb")),
    ("palette.gif", "a palette of 256 colours", Recipe("gif", pixel_format="rgb8")),
)  # fmt: skip

#: name, what, width, height, frames, recipe.
_SIZES: Final = (
    ("16x16.mp4", "as small as a macroblock", 16, 16, 25, Recipe()),
    ("2x2.mov", "four pixels", 2, 2, 5, _PNG),
    ("1x1.mov", "one pixel", 1, 1, 3, _PNG),
    ("odd-444.mp4", "odd width and height", 97, 73, 25, Recipe(pixel_format="yuv444p")),
    ("odd-420.webm", "odd width and height, chroma halved", 97, 73, 25, Recipe("libvpx-vp9")),
    ("odd-420.avi", "odd width and height, JPEG", 97, 73, 25, _JPEG),
    ("wide.mov", "a strip, 640x2", 640, 2, 5, _PNG),
    ("tall.mov", "a strip, 2x640", 2, 640, 5, _PNG),
    ("one-frame.mp4", "one frame", 96, 72, 1, Recipe()),
    ("one-frame.gif", "a GIF of one picture", 96, 72, 1, Recipe("gif", pixel_format="rgb8")),
    ("two-frames.mp4", "two frames", 96, 72, 2, Recipe()),
    ("two-frames.mkv", "two frames", 96, 72, 2, Recipe()),
    ("one-frame.h264", "a raw stream of one frame", 96, 72, 1, Recipe(format="h264")),
)


def sound_case(name: str, what: str, clip: Clip, **more: Any) -> HostileCase:
    """The expected result of a clip, by the values given to its muxer."""
    truth: dict[str, Any] = {
        "frames": (clip.frames, clip.frames),
        "pts": clip.pts,
        "time_base": clip.time_base,
        "upright_size_px": (clip.width_px, clip.height_px),
    }
    return HostileCase(name, what, **(truth | more))


def write_odd_files(folder: Path) -> Iterator[HostileCase]:
    """Writes all of them."""
    for name, what, recipe in _CODECS:
        clip = encode(folder / "codecs" / name, moving(_COUNT), recipe)
        yield sound_case(f"codecs/{name}", what, clip)
    for name, what, recipe in _COLOURS:
        clip = encode(folder / "colours" / name, flat(10, rgb=_BRICK), recipe)
        yield sound_case(f"colours/{name}", what, clip, rgb=_BRICK)
    for name, what, width, height, count, recipe in _SIZES:
        clip = encode(folder / "sizes" / name, moving(count, width, height), recipe)
        yield sound_case(f"sizes/{name}", what, clip)
    big = encode(folder / "sizes" / "7680x4320.mp4", flat(2, 7680, 4320), Recipe())
    yield sound_case("sizes/7680x4320.mp4", "7680x4320 pixels", big)
    yield from _faces(folder / "faces")
    for write in (_resized_ts, _resized_raw, _resized_webm):
        yield write(folder / "sizes")
    yield _with_sound(folder / "codecs")
    yield _with_late_sound(folder / "codecs")


def _faces(folder: Path) -> Iterator[HostileCase]:
    """A photograph of a face, stored rotated or squeezed: a face only when upright."""
    upright = [cv2.resize(f, (160, 120), interpolation=cv2.INTER_AREA) for f in _portraits(15)]
    for turn in (0, 90, 180, 270):
        stored = [np.ascontiguousarray(np.rot90(f, turn // 90)) for f in upright]
        name = f"turned-{turn}.mp4"
        clip = encode(folder / name, stored, Recipe(rotation_deg=turn))
        what = f"a face, to be rotated by {turn} degrees" if turn else "a face"
        yield sound_case(
            f"faces/{name}", what, clip, rotation_deg=turn, upright_size_px=(160, 120), faces=1
        )
    stored = [np.ascontiguousarray(np.rot90(f, 3)) for f in upright]
    recipe = Recipe(gop=5, options={"x264-params": "aud=1:repeat-headers=1"})
    clip = encode(folder / "turned.ts", stored, recipe)
    message = "h264_metadata=display_orientation=insert:rotate=90"
    path = remux(clip.path, folder / "turned-first-frame.mp4", message)
    clip.path.unlink()
    what = "a face, to be rotated by 270 degrees, as a message in the first frame says"
    yield sound_case(
        "faces/turned-first-frame.mp4", what, replace(clip, path=path),
        rotation_deg=270, upright_size_px=(160, 120), faces=1,
    )  # fmt: skip
    for turn in (0, 90, 180, 270):
        stored = [np.ascontiguousarray(np.rot90(f[:, ::-1], turn // 90)) for f in upright]
        name = f"mirrored-{turn}.mp4"
        clip = encode(folder / name, stored, Recipe(rotation_deg=turn, mirrored=True))
        what = (
            f"a face, to be rotated by {turn} degrees and mirrored"
            if turn
            else "a face, to be mirrored"
        )
        yield sound_case(
            f"faces/{name}", what, clip,
            rotation_deg=turn, mirrored=True, upright_size_px=(160, 120), faces=1,
        )  # fmt: skip
    for aspect, width, height in ((Fraction(4, 3), 120, 120), (Fraction(1, 2), 160, 60)):
        squeezed = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in upright]
        name = f"pixels-{aspect.numerator}-{aspect.denominator}.mkv"
        clip = encode(folder / name, squeezed, Recipe(aspect=aspect))
        what = f"a face with pixels of {aspect.numerator}:{aspect.denominator}"
        yield sound_case(f"faces/{name}", what, clip, aspect=aspect, faces=1)
    stored = [np.ascontiguousarray(np.rot90(cv2.resize(f, (120, 120)))) for f in upright]
    clip = encode(
        folder / "turned-pixels.mp4", stored, Recipe(rotation_deg=90, aspect=Fraction(3, 4))
    )
    yield sound_case(
        "faces/turned-pixels.mp4", "a face, to be rotated by 90 degrees, with non-square pixels",
        clip, rotation_deg=90, aspect=Fraction(4, 3), upright_size_px=(120, 120), faces=1,
    )  # fmt: skip


def _portraits(count: int) -> list[np.ndarray]:
    photograph = load_astronaut()
    return [photograph[20:230, 90 + i : 370 + i] for i in range(count)]


def _resized_ts(folder: Path) -> HostileCase:
    """Two recordings of different sizes in one transport stream, with continuous times."""
    first = encode(folder / "resized.ts", moving(25))
    second = encode(folder / "second.ts", moving(25, 128, 96), Recipe(at=range(25, 50)))
    return _joined(first, second, "sizes/resized.ts", "the size changes midway, transport stream")


def _resized_raw(folder: Path) -> HostileCase:
    recipe = Recipe(format="h264")
    first = encode(folder / "resized.h264", moving(25), recipe)
    second = encode(folder / "second.h264", moving(25, 128, 96), recipe)
    return _joined(first, second, "sizes/resized.h264", "the size changes midway, raw stream")


def _joined(first: Clip, second: Clip, name: str, what: str) -> HostileCase:
    first.path.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    second.path.unlink()
    pts = None if first.pts is None or second.pts is None else first.pts + second.pts
    count = first.frames + second.frames
    return sound_case(name, what, first, frames=(count, count), pts=pts)


def _resized_webm(folder: Path) -> HostileCase:
    """Packets of two encoders in one track."""
    parts = [
        encode(folder / "first.ivf", moving(25), Recipe("libvpx")),
        encode(folder / "second.ivf", moving(25, 128, 96), Recipe("libvpx")),
    ]
    path = folder / "resized.webm"
    with av.open(str(path), "w") as out:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(part.path)) as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = packet.pts + 25 * number
                        packet.stream = stream
                        out.mux(packet)
            part.path.unlink()
    clip = Clip(path, 50, tuple(range(0, 2000, 40)), Fraction(1, 1000), 96, 72)
    return sound_case("sizes/resized.webm", "the size changes midway, VP8", clip)


def _with_sound(folder: Path) -> HostileCase:
    """Audio before the video: the first stream is no video."""
    clip = _write_with_sound(folder / "sound-first.mkv", moving(25), first=0, sound_first=True)
    return sound_case("codecs/sound-first.mkv", "a sound stream before the video", clip)


def _with_late_sound(folder: Path) -> HostileCase:
    """Audio for a second in the middle, too late for a search at the start."""
    silent = 200
    parts = [
        encode(folder / "new-stream.ts", moving(silent)),
        _write_with_sound(folder / "middle.ts", moving(25), first=silent, sound_first=False),
        encode(folder / "end.ts", moving(silent), Recipe(at=range(silent + 25, 2 * silent + 25))),
    ]
    content = b"".join(part.path.read_bytes() for part in parts)
    for part in parts:
        part.path.unlink()
    count = 2 * silent + 25
    pts = tuple(range(0, count * 3600, 3600))
    clip = Clip(folder / "new-stream.ts", count, pts, Fraction(1, 90_000), 96, 72)
    clip.path.write_bytes(content)
    return sound_case("codecs/new-stream.ts", "a sound stream that appears midway", clip)


def _write_with_sound(
    path: Path, pictures: list[np.ndarray], *, first: int, sound_first: bool
) -> Clip:
    """Audio and video from frame `first` on, at 25 frames a second."""
    mux = {"mpegts_copyts": "1"} if path.suffix == ".ts" else {}
    with av.open(str(path), "w", options=mux) as out:
        plain = {"preset": "ultrafast", "threads": "1"}
        if not sound_first:
            video = out.add_stream("libx264", rate=25, options=plain)
        sound = out.add_stream("mp2", rate=16_000, layout="mono")
        if sound_first:
            video = out.add_stream("libx264", rate=25, options=plain)
        video.width, video.height, video.pix_fmt = 96, 72, "yuv420p"
        for number, picture in enumerate(pictures, start=first):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 640), np.int16), "s16", "mono")
            tone.sample_rate, tone.pts, tone.time_base = 16_000, 640 * number, Fraction(1, 16_000)
            out.mux(sound.encode(tone))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        out.mux(sound.encode(None))
    return Clip(path, len(pictures), None, None, 96, 72)
