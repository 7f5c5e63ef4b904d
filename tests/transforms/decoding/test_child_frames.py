"""Frames of a decoding child equal those of a decoder in this process."""

import itertools

import msgspec
import numpy as np
import pytest
from clips import decode_plainly, drifting, write_clip
from segments import make_segment

from models.crops import square_affine
from models.frame_pixels import FramePixels, StoredPlanes
from schemas.errors import DecodingError
from schemas.records import Video
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.frame_answer import Frame
from transforms.decoding.piece_builder import CropSpec

SPEC = CropSpec(1, 1.0, 1)


@pytest.fixture(scope="module")
def child():
    child = DecodingChild(ChildSettings(SPEC, max_pixels=20_000))
    yield child
    child.close()


@pytest.mark.parametrize(
    ("suffix", "rotation_deg", "options"),
    [
        ("mp4", 0, {}),
        ("mp4", 90, {"pixel_format": "yuv420p10le", "codec": "libx265"}),
        ("mkv", 0, {"pixel_format": "bgr0", "codec": "ffv1"}),
        ("mkv", 0, {"pixel_format": "gray", "codec": "ffv1"}),
    ],
)
def test_frames_are_the_decoders_own(child, tmp_path, suffix, rotation_deg, options):
    path = write_clip(
        tmp_path / f"clip.{suffix}", drifting(6, 96, 64), rotation_deg=rotation_deg, **options
    )
    (segment,) = child.plan(Video("clip", str(path)))
    given = list(child.frames(segment))
    plain = decode_plainly(path)
    assert [pts for pts, _ in given] == [frame.pts for frame in plain]
    affine = square_affine((8.0, 8.0, 50.0, 50.0), scale=1.1, size_px=32)
    for (_, pixels), frame in zip(given, plain, strict=True):
        here = FramePixels(frame)
        assert (pixels.width_px, pixels.height_px) == (here.width_px, here.height_px)
        assert pixels.rotation_deg == rotation_deg
        np.testing.assert_array_equal(pixels.sample(affine, 32, 32), here.sample(affine, 32, 32))


def test_frames_that_nobody_waits_for_cost_nothing(child, tmp_path):
    path = write_clip(tmp_path / "clip.mp4", drifting(30, 96, 64))
    (segment,) = child.plan(Video("clip", str(path)))
    assert len(list(itertools.islice(child.frames(segment), 2))) == 2
    assert len(list(child.frames(segment))) == 30


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("silent", "decoder_hung"),
        ("large", "memory_limit"),
        ("exit", "decoder_crashed"),
        ("a plan of nothing", "decoder_error"),
        ("a frame without its pixels", "decoder_error"),
        ("a frame of a billion pixels", "decoder_error"),
    ],
)
def test_a_child_that_misbehaves_costs_its_video(how, reason):
    settings = ChildSettings(
        SPEC,
        stall_seconds=1.0 if how == "silent" else 60.0,
        memory_mb=300,
        module="tests.transforms.decoding.misbehaving_server",
    )
    child = DecodingChild(settings)
    try:
        with pytest.raises(DecodingError, match=how) as told:
            list(child.frames(make_segment(video=Video(how, how))))
        assert told.value.reason == reason
        with pytest.raises(DecodingError, match=how) as told:
            child.read_sound(make_segment(video=Video(how, how)))
        assert told.value.reason == reason
    finally:
        child.close()


def test_what_a_frame_says_must_fit_its_bytes():
    planes = [np.zeros((4, 6), np.uint8), np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)]
    stored = StoredPlanes(0, False, 8, (1, 1), planes, np.zeros((3, 4), np.float32))
    frame, body = Frame.of(7, stored)
    back = frame.planes(memoryview(body), 24)
    assert [plane.shape for plane in back.planes] == [(4, 6), (2, 3), (2, 3)]
    for wrong, size in [(body[1:], 24), (body + b"x", 24), (body, 23)]:
        with pytest.raises(ValueError, match="expected 36"):
            frame.planes(memoryview(wrong), size)
    for fields in ({"to_rgb": None}, {"chroma": None}, {"sides_px": [(4, 6)]}):
        with pytest.raises(ValueError, match="got"):
            msgspec.structs.replace(frame, **fields)
