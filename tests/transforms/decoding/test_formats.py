"""Formats that refer to other files are refused, the others read; encryption is reported."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import drifting, write_clip

from schemas.errors import ContainerError
from transforms.decoding.encryption import refuse_encrypted
from transforms.decoding.video_source import open_video

FRAMES = 10
KEY = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb"}
KEY_ID = {"encryption_kid": "a7e61c373e219033c21091fa607bf3b8"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("formats") / "clip.mp4", drifting(FRAMES, 96, 64))


def reason(path: Path) -> str | None:
    try:
        with open_video(str(path)) as opened:
            refuse_encrypted(str(path), opened.container, opened.stream)
    except ContainerError as error:
        assert str(path) in str(error)
        return error.reason
    return None


def frames(path: Path) -> int:
    with open_video(str(path)) as opened:
        return sum(1 for _ in opened.container.decode(opened.stream))


def remuxed(clip: Path, to: Path, **options: str) -> Path:
    with av.open(clip) as source, av.open(to, "w", options=options) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    return to


def test_pictures_one_after_the_other_as_ip_cameras_send_them(tmp_path):
    pictures = []
    for picture in drifting(FRAMES, 96, 64):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 96, 64, "yuvj420p"
        encoder.time_base = Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
        pictures += [bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]]
    parts = (
        b"--camera\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(p), p)
        for p in pictures
    )
    path = tmp_path / "camera.mjpg"
    path.write_bytes(b"".join(parts))
    assert frames(path) == FRAMES


def test_an_animated_png(tmp_path):
    path = tmp_path / "anim.png"
    with av.open(path, "w", format="apng") as out:
        stream = out.add_stream("apng", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        for picture in drifting(FRAMES, 96, 64):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    assert frames(path) == FRAMES


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n", "hls"),
        ("ffconcat version 1.0\nfile other.mp4\n", "concat"),
        (
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
            "sdp",
        ),
    ],
)
def test_a_format_that_opens_other_files_is_refused_by_its_name(tmp_path, text, name):
    path = tmp_path / f"list.{'m3u8' if name == 'hls' else 'mp4'}"
    path.write_text(text)
    with (
        pytest.raises(ContainerError, match=f"its format, {name}, is not supported") as told,
        open_video(str(path)),
    ):
        pytest.fail("it was opened")
    assert told.value.reason == "format_refused"


def test_what_ffmpeg_does_not_know_is_no_video(tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(1, 256)) * 400)
    assert reason(path) == "not_a_video"


def scrambled(content: bytes) -> bytes:
    """Every packet with a payload marked as scrambled with the even key; tables stay clear."""
    packets = bytearray(content)
    for at in range(0, len(packets), 188):
        if int.from_bytes(packets[at + 1 : at + 3], "big") & 0x1FFF == 256:
            packets[at + 3] |= 0x80
    return bytes(packets)


def with_drm_header(content: bytes) -> bytes:
    """An ASF header with an Extended Content Encryption Object put in front of its objects."""
    guid = bytes.fromhex("14e68a292226174cb935dae07ee9289c")
    added = guid + (32).to_bytes(8, "little") + (4).to_bytes(4, "little") + b"\xff\xfeX\0"
    size = int.from_bytes(content[16:24], "little") + len(added)
    count = int.from_bytes(content[24:28], "little") + 1
    head = content[:16] + size.to_bytes(8, "little") + count.to_bytes(4, "little") + content[28:30]
    return head + added + content[30:]


MAKE: dict[str, Callable[[Path, Path], Path]] = {
    "cenc": lambda clip, folder: remuxed(
        clip, folder / "cenc.mp4", encryption_scheme="cenc-aes-ctr", **KEY, **KEY_ID
    ),
    "scrambled": lambda clip, folder: written(
        folder / "s.ts", scrambled(remuxed(clip, folder / "clear.ts").read_bytes())
    ),
    "asf": lambda clip, folder: written(
        folder / "d.asf", with_drm_header(remuxed(clip, folder / "clear.asf").read_bytes())
    ),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", MAKE)
def test_encrypted_pictures_are_told_as_such(clip, tmp_path, kind):
    path = MAKE[kind](clip, tmp_path)
    assert reason(path) == "encrypted"


@pytest.mark.parametrize("suffix", ["mp4", "ts", "asf", "mkv"])
def test_the_same_in_the_clear_is_read(clip, tmp_path, suffix):
    path = remuxed(clip, tmp_path / f"clear.{suffix}")
    assert reason(path) is None
    assert frames(path) == FRAMES
