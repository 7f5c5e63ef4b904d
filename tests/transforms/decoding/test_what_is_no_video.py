"""Files without video and sources that cannot be opened, with their reasons."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import drifting, write_clip, write_sound

from schemas.errors import ContainerError, SourceError
from transforms.decoding.video_source import open_video

_DASH = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def text_file(folder):
    path = folder / "notes.mp4"
    path.write_text("these are notes, and no video\n" * 40)
    return path


def list_file(folder):
    path = folder / "list.tsv"
    path.write_text("uri\tvideo_id\n/vidéos/a.mp4\ta\n")
    return path


def empty_file(folder):
    path = folder / "empty.mp4"
    path.touch()
    return path


def sound_file(folder):
    return write_sound(folder / "sound.mp4")


def cover_file(folder):
    """Music with a cover picture, which FFmpeg presents as a video stream."""
    _, png = cv2.imencode(".png", np.full((32, 32, 3), 90, np.uint8))
    path = folder / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16_000)
        sound.layout = "mono"
        cover = container.add_stream("png", rate=1)
        cover.width = cover.height = 32
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        packet = av.Packet(png.tobytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, Fraction(1, 1)
        container.mux(packet)
    return path


def fragment_file(folder):
    """A fragment of a DASH stream, which does not state its codec."""
    path = write_clip(folder / "whole.mp4", drifting(5, 64, 48))
    part = folder / "segment.m4s"
    with av.open(str(path)) as clip, av.open(str(folder / "frag.mp4"), "w", options=_DASH) as out:
        copy = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.size:
                packet.stream = copy
                out.mux(packet)
    content = (folder / "frag.mp4").read_bytes()
    part.write_bytes(content[content.index(b"moof") - 4 :])
    return part


@pytest.mark.parametrize(
    ("make", "error", "reason", "message"),
    [
        (lambda folder: folder / "none.mp4", SourceError, "not_found", "no such file"),
        (empty_file, ContainerError, "empty", "no bytes"),
        (text_file, ContainerError, "not_a_video", "knows no video container"),
        (list_file, ContainerError, "not_a_video", r"is text: .* manifest ends in \.csv, \.jsonl"),
        (sound_file, ContainerError, "no_video_stream", "the streams it has: audio"),
        (cover_file, ContainerError, "no_video_stream", "audio, video"),
        (fragment_file, ContainerError, "not_a_video", "media segment .* initialization"),
    ],
    ids=["missing", "empty", "text", "list", "sound", "cover", "fragment"],
)
def test_what_is_no_video_is_told(tmp_path, make, error, reason, message):
    path = make(tmp_path)
    with pytest.raises(error, match=message) as told, open_video(str(path)):
        pass
    assert told.value.reason == reason
    assert str(path) in str(told.value)


def test_a_file_system_that_is_not_installed_is_told():
    with pytest.raises(SourceError) as told, open_video("nosuchscheme://bucket/clip.mp4"):
        pass
    assert told.value.reason == "unreadable"
