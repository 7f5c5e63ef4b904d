"""Valid files with rare container structures."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np

from tests.hostile.case import HostileCase
from tests.hostile.encoding import Clip, Recipe, encode, moving
from tests.hostile.odd_files import sound_case

__all__ = ["write_odd_containers"]

_COUNT: Final = 50
_STEP: Final = 512  # pts of a frame of an MP4 at 25 a second
_JPEG: Final = Recipe("mjpeg", pixel_format="yuvj420p")
_FRAGMENTS: Final = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def write_odd_containers(folder: Path) -> Iterator[HostileCase]:
    """Writes all of them."""
    for name in ("times", "streams", "codecs", "cut"):
        (folder / name).mkdir(exist_ok=True)
    start = 2**33 - 20 * 3600
    at = range(start, start + _COUNT * 3600, 3600)
    clip = encode(folder / "times" / "wrap.ts", moving(_COUNT), Recipe(rate=90_000, at=at))
    pts = tuple(range(-20 * 3600, (_COUNT - 20) * 3600, 3600))
    yield sound_case("times/wrap.ts", "a 33-bit clock that overflows midway", clip, pts=pts)
    yield from _edits(folder / "times")
    yield _without_a_fragment(folder / "times")
    yield _podcast(folder / "streams")
    yield _with_attachment(folder / "streams")
    yield _laced(folder / "codecs")
    what = "Motion JPEG in GXF, whose end FFmpeg reports as `Operation not permitted`"
    recipe = Recipe("mjpeg", pixel_format="yuvj422p")
    clip = encode(folder / "codecs" / "mjpeg.gxf", moving(10, 720, 576), recipe)
    yield sound_case("codecs/mjpeg.gxf", what, clip)
    yield _fields(folder / "codecs")
    yield from _opendml(folder)


def _edits(folder: Path) -> Iterator[HostileCase]:
    """(length in ms, first pts of the 50 stored; -1: empty) of each entry of an edit list."""
    for name, what, entries, first, shown in (
        ("two", "two parts of the stored frames", [(400, 0), (400, 30 * _STEP)], 0, 20),
        ("swapped", "two parts, the later one first", [(400, 30 * _STEP), (400, 0)], 0, 20),
        ("again", "one part twice", [(400, 0), (400, 0)], 0, 20),
        ("empty", "an empty second, then everything", [(1000, -1), (2000, 0)], 25, 50),
    ):
        clip = encode(folder / f"edit-{name}.mp4", moving(_COUNT))
        _set_edits(clip.path, entries)
        pts = tuple(range(first * _STEP, (first + shown) * _STEP, _STEP))
        told = {"frames": (shown, shown), "pts": pts}
        yield sound_case(f"times/edit-{name}.mp4", f"an edit list: {what}", clip, **told)


def _set_edits(path: Path, entries: Sequence[tuple[int, int]]) -> None:
    """Replaces the edit list of an MP4 whose index comes last."""
    content = path.read_bytes()
    coded = b"".join(struct.pack(">IiHH", length, first, 1, 0) for length, first in entries)
    listed = struct.pack(">I4sII", 16 + len(coded), b"elst", 0, len(entries)) + coded
    places = [content.rindex(kind) - 4 for kind in (b"moov", b"trak", b"edts")]
    moov, trak, old = (struct.unpack(">I", content[at : at + 4])[0] for at in places)
    new = struct.pack(">I4s", 8 + len(listed), b"edts") + listed
    edited = bytearray(content[: places[2]] + new + content[places[2] + old :])
    for at, size in zip(places, (moov, trak), strict=False):
        edited[at : at + 4] = struct.pack(">I", size + len(new) - old)
    path.write_bytes(edited)


def _without_a_fragment(folder: Path) -> HostileCase:
    """The second of five: it cannot be distinguished from a pause."""
    clip = encode(folder / "fragment.mp4", moving(_COUNT), Recipe(gop=10, mux=_FRAGMENTS))
    content = clip.path.read_bytes()
    second = content.index(b"moof", content.index(b"moof") + 4) - 4
    third = content.index(b"moof", second + 8) - 4
    clip.path.write_bytes(content[:second] + content[third:])
    pts = clip.pts or ()
    what = "a fragment of ten frames is missing"
    told = {"frames": (40, 40), "pts": pts[:10] + pts[20:]}
    return sound_case("times/fragment.mp4", what, clip, **told)


def _podcast(folder: Path) -> HostileCase:
    path = folder / "podcast.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"threads": "1"})
        video.width, video.height, video.pix_fmt = 96, 72, "yuv420p"
        sound = out.add_stream("aac", rate=16_000, layout="mono")
        frame = av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        out.mux([*video.encode(frame), *video.encode(None)])
        for number in range(40):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 16_000, 1024 * number
            out.mux(sound.encode(silence))
        out.mux(sound.encode(None))
    clip = Clip(path, 1, (0,), Fraction(1, 12_800), 96, 72)
    return sound_case("streams/podcast.mp4", "one picture, encoded as video, beside sound", clip)


def _with_attachment(folder: Path) -> HostileCase:
    path = folder / "attached.mkv"
    _, cover = cv2.imencode(".jpg", np.full((240, 320, 3), 90, np.uint8))
    clip = encode(folder / "plain.mkv", moving(_COUNT))
    with av.open(io.BytesIO(clip.path.read_bytes())) as source, av.open(str(path), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        out.add_attachment("cover.jpg", "image/jpeg", cover.tobytes())
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    clip.path.unlink()
    what = "a cover picture as an attachment"
    return sound_case("streams/attached.mkv", what, replace(clip, path=path), stream=(0, 2))


def _element(name: str, content: bytes) -> bytes:
    """An element of EBML; lengths as numbers of 8 bytes."""
    return bytes.fromhex(name) + (1 << 56 | len(content)).to_bytes(8, "big") + content


def _laced(folder: Path) -> HostileCase:
    """Three JPEGs in a block, blank space between elements, and no index."""
    jpegs = [cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for picture in moving(48)]
    head = _element("1A45DFA3", _element("4282", b"matroska"))
    info = _element("1549A966", _element("2AD7B1", (1_000_000).to_bytes(3, "big")))
    size = _element("E0", _element("B0", bytes([96])) + _element("BA", bytes([72])))
    facts = (("D7", b"\1"), ("73C5", b"\1"), ("83", b"\1"), ("86", b"V_MJPEG"))
    track = b"".join(_element(name, content) for name, content in facts)
    track += _element("23E383", (40_000_000).to_bytes(4, "big")) + size
    clusters = b""
    for first in range(0, len(jpegs), 12):
        blocks = b""
        for place in range(0, 12, 3):
            one, two, three = jpegs[first + place : first + place + 3]
            sizes = b"".join(b"\xff" * (len(j) // 255) + bytes([len(j) % 255]) for j in (one, two))
            lacing = struct.pack(">BhBB", 0x81, 40 * place, 0x82, 2) + sizes
            blocks += _element("A3", lacing + one + two + three)
        time = _element("E7", (40 * first).to_bytes(2, "big"))
        clusters += _element("1F43B675", time + _element("EC", bytes(30)) + blocks)
    blank = _element("EC", bytes(50))
    tracks = _element("1654AE6B", _element("AE", track))
    path = folder / "laced.mkv"
    path.write_bytes(head + _element("18538067", blank + info + tracks + blank + clusters))
    clip = Clip(path, 48, tuple(range(0, 48 * 40, 40)), Fraction(1, 1000), 96, 72)
    return sound_case("codecs/laced.mkv", "three frames in a block of Matroska", clip)


def _fields(folder: Path) -> HostileCase:
    """Motion JPEG of two fields in a packet, as capture cards write it."""

    def field(picture: np.ndarray, number: int) -> bytes:
        jpeg = cv2.imencode(".jpg", picture[number - 1 :: 2, :, ::-1])[1].tobytes()
        after = 4 + struct.unpack(">H", jpeg[4:6])[0]  # past the marker of JFIF
        return jpeg[:2] + b"\xff\xe0\0\x10AVI1" + bytes([number, 0]) + bytes(8) + jpeg[after:]

    path = folder / "fields.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 72, "yuvj420p"
        for number, picture in enumerate(moving(_COUNT)):
            packet = av.Packet(field(picture, 1) + field(picture, 2))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = number
            out.mux_one(packet)
    clip = Clip(path, _COUNT, tuple(range(_COUNT)), Fraction(1, 25), 96, 72)
    return sound_case("codecs/fields.avi", "two fields in a packet", clip)


def _opendml(folder: Path) -> Iterator[HostileCase]:
    """An AVI above a gigabyte continues in further RIFF chunks; here the first chunk is small."""
    path = folder / "codecs" / "opendml.avi"
    clip = encode(path, moving(_COUNT), _JPEG)
    content = path.read_bytes()
    movi = content.index(b"movi") - 8
    (size,) = struct.unpack("<I", content[movi + 4 : movi + 8])
    pictures, at = [], movi + 12
    while at < movi + 8 + size:
        length = 8 + struct.unpack("<I", content[at + 4 : at + 8])[0]
        pictures.append(content[at : at + length + length % 2])
        at += len(pictures[-1])

    def riff(kind: bytes, before: bytes, parts: list[bytes]) -> bytes:
        listed = b"movi" + b"".join(parts)
        body = kind + before + struct.pack("<4sI", b"LIST", len(listed)) + listed
        return struct.pack("<4sI", b"RIFF", len(body)) + body

    whole = riff(b"AVI ", content[12:movi], pictures[:20]) + riff(b"AVIX", b"", pictures[20:])
    path.write_bytes(whole)
    pts = tuple(range(_COUNT))
    yield sound_case("codecs/opendml.avi", "AVI in two RIFF chunks", clip, pts=pts)
    kept = 35
    cut = folder / "cut" / "opendml.avi"
    cut.write_bytes(whole[: len(whole) - sum(map(len, pictures[kept:]))])
    case = sound_case("cut/opendml.avi", "an AVI truncated in its second RIFF chunk", clip)
    yield replace(
        case, statuses=("partial",), reasons=("truncated",), frames=(kept, kept), pts=pts[:kept],
        lost_pts=pts[kept:],
    )  # fmt: skip
