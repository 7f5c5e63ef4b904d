import gc
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import decode_plainly, display_matrix, write_clip

from models.crops import square_affine
from models.frame_pixels import (
    FramePixels,
    orientation_of,
    upright_affine,
    upright_aspect,
    upright_picture,
    upright_size,
)

BT709, BT601 = 1, 5
LIMITED, FULL = 1, 2


@pytest.mark.parametrize(
    ("rotation_deg", "stored"),
    [
        # Upright (x, y) of a stored frame 40 wide, 30 high: where the pixel is stored.
        (0, {(0, 0): (0, 0), (5, 7): (5, 7), (39, 29): (39, 29)}),
        # Rotated clockwise, the stored bottom left corner moves to the top left.
        (90, {(0, 0): (0, 29), (29, 0): (0, 0), (5, 7): (7, 24), (29, 39): (39, 0)}),
        (180, {(0, 0): (39, 29), (5, 7): (34, 22), (39, 29): (0, 0)}),
        # Rotated counterclockwise, the stored top right corner moves to the top left.
        (270, {(0, 0): (39, 0), (29, 0): (39, 29), (5, 7): (32, 5), (29, 39): (0, 29)}),
    ],
)
def test_upright_pixels_by_hand(rotation_deg, stored):
    affine = upright_affine(40, 30, rotation_deg)
    for upright, place in stored.items():
        assert affine @ [*upright, 1] == pytest.approx(place)


@pytest.mark.parametrize(
    ("rotation_deg", "stored"),
    [
        (0, {(0, 0): (39, 0), (5, 7): (34, 7), (39, 29): (0, 29)}),
        (90, {(0, 0): (0, 0), (29, 0): (0, 29), (5, 7): (7, 5)}),  # x and y change places
        (180, {(0, 0): (0, 29), (5, 7): (5, 22), (39, 29): (39, 0)}),
        (270, {(0, 0): (39, 29), (29, 0): (39, 0), (5, 7): (32, 24)}),  # the other diagonal
    ],
)
def test_mirrored_pixels_by_hand(rotation_deg, stored):
    affine = upright_affine(40, 30, rotation_deg, mirrored=True)
    for upright, place in stored.items():
        assert affine @ [*upright, 1] == pytest.approx(place)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_orientations_of_matrices(rotation_deg, mirrored):
    matrix = display_matrix(rotation_deg, mirrored=mirrored)
    assert orientation_of(matrix) == (rotation_deg, mirrored)
    off = np.deg2rad(rotation_deg + 30)  # the nearest quarter turn
    a, b, c, d = np.cos(off), np.sin(off), -np.sin(off), np.cos(off)
    sign = -1 if mirrored else 1
    assert orientation_of([sign * a, b, 0, sign * c, d]) == (rotation_deg, mirrored)


#: From FFmpeg's documentation of av_display_matrix_flip and of the transpose filter:
#: (a, b, c, d) of a matrix, and the result of `ffmpeg` with autorotation on a stored picture.
AUTOROTATED = {
    "hflip": ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
    "vflip": ((1, 0, 0, -1), lambda p: p[::-1]),
    "transpose": ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
    "transverse": ((0, -1, -1, 0), lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: p[::-1].transpose(1, 0, 2)),
    "counterclockwise": ((0, -1, 1, 0), lambda p: p[:, ::-1].transpose(1, 0, 2)),
    "half a turn": ((-1, 0, 0, -1), lambda p: p[::-1, ::-1]),
    "as it is": ((1, 0, 0, 1), lambda p: p),
}


@pytest.mark.parametrize("name", AUTOROTATED)
def test_pictures_are_shown_as_ffmpeg_shows_them(name):
    (a, b, c, d), shown = AUTOROTATED[name]
    stored = np.random.default_rng(0).integers(0, 255, (4, 6, 3)).astype(np.uint8)
    orientation = orientation_of([a, b, 0, c, d, 0, 0, 0, 1 << 30])
    assert np.array_equal(upright_picture(stored, *orientation), shown(stored))


def test_a_matrix_that_shows_nothing_turns_nothing():
    assert orientation_of([0] * 9) == (0, False)


def test_upright_size_and_aspect():
    assert upright_size(40, 30, 0) == upright_size(40, 30, 180) == (40, 30)
    assert upright_size(40, 30, 90) == upright_size(40, 30, 270) == (30, 40)
    assert (
        upright_aspect(Fraction(4, 3), 0) == upright_aspect(Fraction(4, 3), 180) == Fraction(4, 3)
    )
    assert (
        upright_aspect(Fraction(4, 3), 90) == upright_aspect(Fraction(4, 3), 270) == Fraction(3, 4)
    )


def picture(width: int, height: int) -> np.ndarray:
    """Slow changes of colour: little is lost by any chroma subsampling."""
    y, x = np.mgrid[:height, :width] / 48.0
    channels = [110 + 60 * np.sin(x + 1), 130 + 60 * np.sin(y + x / 2), 120 + 50 * np.cos(y)]
    return np.stack(channels, -1).astype(np.uint8)


def as_frame(rgb: np.ndarray, pixel_format: str, matrix: int = BT601, span: int = LIMITED):
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=pixel_format,
        dst_colorspace=matrix,
        dst_color_range=span,
    )
    frame.colorspace, frame.color_range = matrix, span
    return frame


def whole(frame) -> np.ndarray:
    pixels = FramePixels(frame)
    return pixels.sample(np.eye(2, 3), pixels.width_px, pixels.height_px)


@pytest.mark.parametrize("size", [(64, 48), (61, 47)])
@pytest.mark.parametrize("span", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT709, BT601])
@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv420p10le", "yuv422p12le",
     "yuv444p10le", "yuva420p", "nv12", "rgb24", "bgr24", "p010le"],
)  # fmt: skip
def test_colours_are_those_of_ffmpeg(pixel_format, matrix, span, size):
    frame = as_frame(picture(*size), pixel_format, matrix, span)
    expected = frame.to_ndarray(format="rgb24")
    got = whole(frame)
    assert got.shape == expected.shape
    assert got.dtype == np.uint8
    difference = np.abs(got.astype(int) - expected.astype(int))
    assert difference.mean() < 2.5  # FFmpeg rounds coarsely where a row is a multiple of 16
    # And the encoded pixels, so that an error of both is detected.
    in_place = pixel_format.startswith("yuv")
    distance = np.abs(got.astype(int) - picture(*size).astype(int)).mean()
    assert distance < (1.2 if in_place else 2.5)


@pytest.mark.parametrize("pixel_format", ["yuvj420p", "yuvj422p", "yuvj444p", "yuvj411p"])
def test_jpeg_formats_are_full_range_whatever_the_tag_says(pixel_format):
    frame = as_frame(picture(64, 48), pixel_format, BT601, FULL)
    frame.color_range = 0
    assert np.abs(whole(frame).astype(int) - picture(64, 48).astype(int)).mean() < 2


@pytest.mark.parametrize(
    ("pixel_format", "black", "white", "told"),
    [
        ("gray", 0, 255, 0),
        ("gray", 0, 255, FULL),
        ("gray", 16, 235, LIMITED),
        ("gray10le", 0, 1023, 0),
        ("gray10le", 64, 940, LIMITED),
        ("gray16le", 0, 65535, 0),
    ],
)
def test_grey_is_full_range_unless_told_otherwise(pixel_format, black, white, told):
    plane = np.full((16, 16), black, np.uint8 if white < 256 else np.uint16)
    plane[:, 8:] = white
    frame = av.VideoFrame.from_ndarray(plane, format=pixel_format)
    frame.color_range = told
    got = whole(frame)
    assert (got[:, 2] == 0).all()
    assert (got[:, 12] >= 254).all()


@pytest.mark.parametrize(("width", "matrix"), [(64, BT601), (1280, BT709)])
def test_untagged_video_is_taken_by_its_size(width, matrix):
    rgb = np.zeros((16, width, 3), np.uint8)
    rgb[:] = (30, 200, 60)
    frame = as_frame(rgb, "yuv444p", matrix)
    frame.colorspace = 2  # unspecified
    assert np.abs(whole(frame).astype(int) - rgb).max() <= 2


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv411p", "yuv444p"])
def test_chroma_lies_on_the_left_luma_column(pixel_format):
    """A colour edge: the middle of the change must be where the edge is."""
    grey, red = np.array([126, 128, 128]), np.array([126, 128, 200])
    y, u, v = (np.where(np.arange(64) < 32, grey[i], red[i]).astype(np.uint8) for i in range(3))
    step = {"yuv420p": 2, "yuv422p": 2, "yuv411p": 4, "yuv444p": 1}[pixel_format]
    rows = 16 if pixel_format == "yuv420p" else 32
    frame = av.VideoFrame(64, 32, pixel_format)
    for plane, line, count in zip(
        frame.planes, (y, u[::step], v[::step]), (32, rows, rows), strict=True
    ):
        content = np.zeros((count, plane.line_size), np.uint8)
        content[:, : len(line)] = line
        plane.update(content.tobytes())
    frame.colorspace, frame.color_range = BT601, LIMITED
    got = whole(frame)[16, :, 0].astype(float)
    middle = np.interp((got[5] + got[60]) / 2, got[20:44], np.arange(20, 44))
    # The first red sample sits on column 32, the last grey one `step` before it.
    assert middle == pytest.approx(32 - step / 2, abs=0.1)


def bright_spot(width: int, height: int, x: int, y: int) -> np.ndarray:
    rgb = np.full((height, width, 3), 40, np.uint8)
    cv2.circle(rgb, (x, y), 5, (250, 250, 250), -1)
    return rgb


def spot_place(rgb: np.ndarray) -> np.ndarray:
    weight = np.clip(rgb[..., 0].astype(float) - 120, 0, None)
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_a_marker_lands_where_it_was_drawn_whatever_the_orientation(
    tmp_path, rotation_deg, mirrored
):
    upright = bright_spot(96, 160, 22, 131)
    turned = upright[:, ::-1] if mirrored else upright
    stored = np.rot90(turned, k=rotation_deg // 90)  # counterclockwise
    clip = write_clip(
        tmp_path / "turned.mp4",
        [np.ascontiguousarray(stored)] * 2,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
    )
    pixels = FramePixels(decode_plainly(clip)[0])
    assert (pixels.rotation_deg, pixels.mirrored) == (rotation_deg, mirrored)
    assert (pixels.width_px, pixels.height_px) == (96, 160)
    assert spot_place(pixels.sample(np.eye(2, 3), 96, 160)) == pytest.approx([22, 131], abs=0.1)
    crop = pixels.sample(square_affine([6, 115, 38, 147], scale=1.0, size_px=32), 32, 32)
    assert spot_place(crop) == pytest.approx([22 - 6.5, 131 - 115.5], abs=0.1)


@pytest.mark.parametrize("rotation_deg", [0, 90])
def test_a_circle_on_oblong_pixels_is_round_in_its_crop(tmp_path, rotation_deg):
    """Stored pixels twice as wide as high; a circle of 40 px height is 20 stored px wide."""
    stored = np.full((120, 160, 3), 20, np.uint8)
    cv2.ellipse(stored, (70, 60), (10, 20), 0, 0, 360, (230, 230, 230), -1)
    clip = write_clip(
        tmp_path / "oblong.mp4",
        [stored] * 2,
        rotation_deg=rotation_deg,
        sample_aspect_ratio=Fraction(2),
    )
    frame = decode_plainly(clip)[0]
    pixels = FramePixels(frame)
    aspect = float(upright_aspect(Fraction(2), pixels.rotation_deg))
    x, y = np.linalg.inv(upright_affine(160, 120, rotation_deg)[:, :2]) @ (
        np.array([70.0, 60.0]) - upright_affine(160, 120, rotation_deg)[:, 2]
    )
    half = (10, 20) if rotation_deg == 0 else (20, 10)
    box = [x - half[0], y - half[1], x + half[0], y + half[1]]
    affine = square_affine(box, scale=1.5, size_px=60, pixel_aspect=aspect)
    bright = pixels.sample(affine, 60, 60)[..., 1] > 125
    wide, high = (np.ptp(np.flatnonzero(bright.any(axis))) + 1 for axis in (0, 1))
    assert abs(wide - 40) <= 3
    assert abs(high - 40) <= 3


def test_the_thumbnail_is_luma_of_about_the_asked_size():
    frame = as_frame(picture(200, 100), "yuv420p")
    thumbnail = FramePixels(frame).luma_thumbnail(20)
    assert thumbnail.shape == (20, 20)
    assert thumbnail.dtype == np.float32
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(100, frame.planes[0].line_size)
    assert thumbnail[0, 0] == luma[2, 5]


def test_a_deep_frame_has_the_same_thumbnail():
    eight, ten = (FramePixels(as_frame(picture(96, 96), f)) for f in ("yuv420p", "yuv420p10le"))
    difference = np.abs(eight.luma_thumbnail() - ten.luma_thumbnail())
    assert difference.max() < 2


def test_frames_are_let_go_without_the_garbage_collector(tmp_path):
    """Each has megabytes but few objects, so the garbage collector would run after hundreds."""
    clip = write_clip(tmp_path / "a.mp4", np.zeros((12, 48, 64, 3), np.uint8))
    gc.collect()
    gc.disable()
    try:
        with av.open(str(clip)) as container:
            sizes = {FramePixels(frame).width_px for frame in container.decode(video=0)}
        # By type: isinstance accesses __class__ of other libraries' objects, and some warn.
        alive = sum(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert sizes == {64}
    assert alive <= 1
