"""Inputs that are no videos, despite their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np

from tests.hostile.case import HostileCase
from tests.hostile.encoding import encode, moving

__all__ = ["write_no_videos"]

#: Formats that FFmpeg would open if it were allowed to.
_KNOWN_POINTERS: Final = ("concat.mp4", "hls.m3u8", "lrc.mp4", "sdp.mp4")
_NOT_A_VIDEO: Final[dict[str, Any]] = {"statuses": ("failed",), "reasons": ("not_a_video",)}
_NO_STREAM: Final[dict[str, Any]] = {"statuses": ("failed",), "reasons": ("no_video_stream",)}

#: Files that refer to another one; {clip} is a valid video whose frames must not be decoded.
_POINTERS: Final = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4.4,\n{clip}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{clip}'\n",
    "concat-protocol": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4.4,\nconcat:{clip}\n",
    "subfile": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\nsubfile,,start,0,end,0,,:{clip}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    "dash": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet><Representation>'
    "<BaseURL>{clip}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "asx": '<asx version="3.0"><entry><ref href="{clip}"/></entry></asx>',
    "vapoursynth": "import vapoursynth\nopen('{clip}')\n",
    "lrc": "[00:00.00]{clip}\n",
}


def write_no_videos(found: Path, listed: Path) -> Iterator[HostileCase]:
    """Files of a folder, and further inputs that a manifest can name."""
    folder = found / "other"
    folder.mkdir(parents=True)
    yield from _plain(folder)
    yield from _pictures(folder)
    yield from _sounds(folder)
    yield from _pointers(folder, encode(listed / "target.ts", moving(10)).path)
    yield from _places(listed)


def _plain(folder: Path) -> Iterator[HostileCase]:
    (folder / "empty.mp4").touch()
    yield HostileCase("other/empty.mp4", "zero bytes", ("failed",), ("empty",))
    rng = np.random.default_rng(3)
    for name, what, content in (
        ("text.mp4", "text", b"these are notes, and no video\n" * 40),
        ("page.mp4", "a web page that says 404", b"<!DOCTYPE html><html>404</html>" * 9),
        ("zeros.mp4", "nothing but zeros", bytes(5000)),
        ("noise.mp4", "random bytes", rng.bytes(5000)),
        ("one-byte.mp4", "one byte", b"\0"),
        ("header.mp4", "only the first box of an MP4",
         bytes.fromhex("00000020667479706d703432000000006d70343269736f6d6176633169736f35")),
        ("nested.mp4", "an MP4 of 4000 boxes, each inside the one before",
         b"".join((8 * (4000 - i)).to_bytes(4, "big") + b"moov" for i in range(4000))),
        ("archive.mp4", "a zip archive", b"PK\x03\x04" + bytes(200)),
        ("pickle.mp4", "a pickle that would run a command", b"cos\nsystem\n(S'touch pwned'\ntR."),
    ):  # fmt: skip
        (folder / name).write_bytes(content)
        yield HostileCase(f"other/{name}", what, **_NOT_A_VIDEO)
    content = bytes.fromhex("000000016d6f6f767fffffffffffffff") + bytes(100)
    (folder / "huge-box.mp4").write_bytes(content)
    what = "an MP4 whose only box claims a length of 2^63 bytes"
    yield HostileCase("other/huge-box.mp4", what, ("failed",), ("not_a_video", "no_video_stream"))


def _pictures(folder: Path) -> Iterator[HostileCase]:
    for suffix in ("jpg", "png", "bmp", "webp", "tiff"):
        _, content = cv2.imencode(f".{suffix}", moving(1)[0])
        name = f"{suffix}.mp4"
        (folder / name).write_bytes(content.tobytes())
        yield HostileCase(f"other/{name}", f"a .{suffix} image renamed .mp4", **_NOT_A_VIDEO)


def _sounds(folder: Path) -> Iterator[HostileCase]:
    for name, codec in (("sound.mp4", "aac"), ("sound.mkv", "flac"), ("sound.wav", "pcm_s16le")):
        if name.endswith(".wav"):
            name += ".mp4"
        _write_sound(folder / name, codec, cover=False)
        yield HostileCase(f"other/{name}", "sound only", **_NO_STREAM)
    _write_sound(folder / "cover.mp4", "aac", cover=True)
    yield HostileCase("other/cover.mp4", "sound with a cover picture", **_NO_STREAM)


def _write_sound(path: Path, codec: str, *, cover: bool) -> None:
    kind = "wav" if ".wav" in path.name else None
    with av.open(str(path), "w", format=kind) as out:
        sound = out.add_stream(codec, rate=16_000, layout="mono")
        if cover:
            picture = out.add_stream("png", rate=1)
            picture.width = picture.height = 32
            picture.pix_fmt = "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        kind = "s16" if codec != "aac" else "fltp"
        for number in range(10):
            dtype = np.int16 if kind == "s16" else np.float32
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype), kind, "mono")
            frame.sample_rate, frame.pts = 16_000, 1024 * number
            out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
        if cover:
            _, png = cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))
            packet = av.Packet(png.tobytes())
            packet.stream, packet.pts, packet.dts = picture, 0, 0
            packet.time_base = Fraction(1)
            out.mux(packet)


def _pointers(folder: Path, clip: Path) -> Iterator[HostileCase]:
    """Playlists and scripts: the files that they name must never be opened."""
    for kind, text in _POINTERS.items():
        for suffix in ("mp4", "m3u8") if kind == "hls" else ("mp4",):
            name = f"{kind}.{suffix}"
            (folder / name).write_text(text.format(clip=clip))
            what = f"a script or playlist ({kind}) named .{suffix} that points to another video"
            refused = {"statuses": ("failed",), "reasons": ("format_refused",)}
            told = refused if name in _KNOWN_POINTERS else _NOT_A_VIDEO
            yield HostileCase(f"other/{name}", what, **told)


def _places(listed: Path) -> Iterator[HostileCase]:
    """Inputs that are not files."""
    missing = ("failed",), ("not_found",)
    yield HostileCase("none.mp4", "not there", *missing, listed=True)
    (listed / "dangling.mp4").symlink_to(listed / "nowhere.mp4")
    yield HostileCase("dangling.mp4", "a link to nothing", *missing, listed=True)
    (listed / "loop.mp4").symlink_to(listed / "loop.mp4")
    unreadable = ("failed",), ("unreadable", "not_found")
    yield HostileCase("loop.mp4", "a link to itself", *unreadable, listed=True)
    (listed / "folder.mp4").mkdir()
    yield HostileCase("folder.mp4", "a folder", ("failed",), ("unreadable",), listed=True)
    os.mkfifo(listed / "pipe.mp4")
    what = "a named pipe that nobody writes to"
    yield HostileCase("pipe.mp4", what, ("failed",), ("unreadable",), listed=True)
    clip = encode(listed / "real.mp4", moving(5))
    (listed / "link.mp4").symlink_to(clip.path)
    yield HostileCase(
        "link.mp4", "a link to a video", frames=(5, 5), pts=clip.pts, time_base=clip.time_base,
        upright_size_px=(96, 72), listed=True,
    )  # fmt: skip
