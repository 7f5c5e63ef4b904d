"""One picture of a video, taken in the decoding child."""

import numpy as np
import pytest
from clips import decode_plainly, drifting, write_clip

from schemas.errors import VideoError
from schemas.records import Video
from transforms.decoding.child import ChildSettings, DecodingChild
from transforms.decoding.messages import Picture, decode_answer, encode_answer
from transforms.decoding.pictures import PictureRequest


@pytest.fixture(scope="module")
def child():
    child = DecodingChild(ChildSettings(max_pixels=20_000))
    yield child
    child.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "clip.mp4"
    return write_clip(path, drifting(40, 160, 120), keyint=10, b_frames=2)


def request(clip, pts, side=160, box=None) -> PictureRequest:
    return PictureRequest(Video("clip", str(clip)), pts, None, side, box)


@pytest.mark.parametrize("index", [0, 9, 10, 25, 39])
def test_the_frame_that_was_asked_for(child, clip, index):
    frame = decode_plainly(clip)[index]
    taken = child.picture(request(clip, frame.pts))
    assert taken.pts == frame.pts
    assert taken.affine.tolist() == [[1, 0, 0], [0, 1, 0]]
    plain = frame.to_ndarray(format="rgb24").astype(int)
    assert np.abs(taken.pixels - plain).mean() < 3


def test_a_picture_is_reduced_and_its_map_leads_back(child, clip):
    taken = child.picture(request(clip, None, side=80))
    assert taken.pixels.shape == (60, 80, 3)
    assert taken.affine @ [-0.5, -0.5, 1] == pytest.approx([-0.5, -0.5])
    assert taken.affine @ [79.5, 59.5, 1] == pytest.approx([159.5, 119.5])


def test_the_square_around_a_box(child, clip):
    taken = child.picture(request(clip, 0, side=30, box=(10, 20, 70, 80)))
    assert taken.pixels.shape == (30, 30, 3)
    assert taken.affine @ [-0.5, -0.5, 1] == pytest.approx([10, 20])


def test_beyond_the_frame_a_square_is_grey(child, clip):
    taken = child.picture(request(clip, 0, side=40, box=(-20.5, -20.5, 19.5, 19.5)))
    grey = (taken.pixels == 20).all(-1)
    assert grey[:20].all()
    assert grey[:, :20].all()
    assert not grey[20:, 20:].all()


def test_turned_frames_are_upright(child, tmp_path):
    pictures = drifting(6, 120, 80)
    turned = write_clip(tmp_path / "turned.mp4", pictures, rotation_deg=90)
    taken = child.picture(request(turned, None))
    assert taken.pixels.shape == (120, 80, 3)


def test_after_the_last_frame_there_is_the_last(child, clip):
    last = decode_plainly(clip)[-1].pts
    assert child.picture(request(clip, last + 10**6)).pts == last


def test_what_cannot_be_read_says_why(child, clip, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(VideoError) as told:
        child.picture(request(tmp_path / "text.mp4", None))
    assert told.value.reason == "not_a_video"
    large = write_clip(tmp_path / "large.mp4", drifting(2, 320, 240))
    with pytest.raises(VideoError) as told:
        child.picture(request(large, None))
    assert told.value.reason == "pixel_limit"
    assert child.picture(request(clip, 0)).pts == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"width_px": 0}, {"height_px": 5000}, {"affine": (0.0,) * 6},
        {"affine": (float("nan"), 0.0, 0.0, 0.0, 1.0, 0.0)}, {"affine": (1.0, 0.0)},
    ],
)  # fmt: skip
def test_answers_out_of_range_are_refused(broken):
    good = {"pts": 0, "width_px": 2, "height_px": 2, "affine": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)}
    assert decode_answer(encode_answer(Picture(**good), b"1" * 12))[0] == Picture(**good)
    import msgspec

    record = msgspec.msgpack.encode({"type": "picture"} | good | broken)
    padding = bytes(-(8 + len(record)) % 8)
    with pytest.raises(ValueError, match=r"affine|Expected"):
        decode_answer(len(record).to_bytes(8, "little") + record + padding)
