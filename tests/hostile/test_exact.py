"""Every landmark is at its position in the frame; every row has the time of its frame.

A bright spot is drawn at a known position, which differs in every frame. A fake network reports
the spot's position in its crop. The remaining error in the frame is therefore that of decoding,
rotating, squeezing, cropping, scaling or mapping.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from clips import whole_video

from models.detection.detections import Detections
from models.frame_pixels import FramePixels
from schemas.records import SegmentLandmarks
from tests.hostile.encoding import Clip, Recipe, encode, moving
from transforms.align_faces import align_windows
from transforms.decoding.box_sources import DetectedBoxes, GivenBoxes
from transforms.decoding.frame_stream import FrameStream
from transforms.decoding.piece_builder import CropSpec
from transforms.decoding.video_source import open_video
from transforms.decoding.window_builder import decode_windows

ROOT = Path(__file__).parents[2]
TOLERANCE_PX = 0.05
#: Tolerance if a crop's pixel covers at most two of the frame.
FINE_TOLERANCE_PX = 0.02
COUNT = 24
CROP_PX, CROP_SCALE = 64, 1.3
#: Standard deviation of the spot in a crop.
SPOT_CROP_PX = 2.5
BACKGROUND = 40.0
#: Lossless, so that the spot stays in its position.
LOSSLESS = {"qp": "0", "crf": "0"}


class SpotModel:
    """Fake landmark network: all 68 points are the spot's centre in the crop."""

    def predict_with_spread(
        self, crops: np.ndarray, windows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        centres = np.array([spot_centre(crop) for crop in crops])
        points = np.repeat(centres[windows[:, -1], None], 68, axis=1).astype(np.float32)
        return points, np.zeros(points.shape[:2], np.float32)


class SpotDetector:
    """Fake face detector: a box of a fixed size, with the spot in its middle."""

    name, input_longest_side_px, weights_sha256 = "spot", 96, ""

    def detect(self, image: np.ndarray) -> Detections:
        x, y = spot_centre(image)
        boxes = np.array([[x - 10, y - 10, x + 10, y + 10]], np.float32)
        return Detections(boxes, np.ones(1, np.float32))


def spot_centre(image: np.ndarray) -> np.ndarray:
    """(2,) x and y of the spot's centre, by a window that is moved to it.

    A plain centroid depends on the faint light far from the spot.
    """
    light = image[..., 1].astype(np.float64) - BACKGROUND
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    brightest = np.unravel_index(light.argmax(), light.shape)
    centre = np.array(brightest[::-1], np.float64)
    for _ in range(15):
        away = np.stack([x, y], -1) - centre
        seen = light * np.exp(-(away**2).sum(-1) / (2 * SPOT_CROP_PX**2))
        centre += 2 * np.tensordot(seen, away, 2) / seen.sum()
    return centre


def draw_spots(
    places: np.ndarray, width: int, height: int, sigma: tuple[float, float]
) -> list[np.ndarray]:
    """Pictures (H, W, 3) with one soft spot each, at (x, y) in pixels."""
    y, x = np.mgrid[:height, :width]
    pictures = []
    for px, py in places:
        spot = np.exp(-(((x - px) / sigma[0]) ** 2 + ((y - py) / sigma[1]) ** 2) / 2)
        grey = np.rint(BACKGROUND + 190 * spot).astype(np.uint8)
        pictures.append(np.repeat(grey[..., None], 3, axis=2))
    return pictures


def spots_clip(
    path: Path,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    recipe: Recipe,
    sigma_crop_px: float = SPOT_CROP_PX,
) -> tuple[Clip, np.ndarray]:
    """A clip of `size` upright, and the (COUNT, 2) places of its spots, which lie in `box`."""
    width, height = size
    x0, y0, x1, y1 = box
    rng = np.random.default_rng(1)
    inset = 0.15 * np.array([x1 - x0, y1 - y0])  # all of a spot is in the crop
    places = rng.uniform((x0, y0) + inset, (x1, y1) - inset, (COUNT, 2))
    sigma_y = sigma_crop_px * crop_pixel_px(box, recipe)
    sigma = (sigma_y / upright_aspect(recipe), sigma_y)
    pictures = draw_spots(places, width, height, sigma)
    if recipe.mirrored:
        pictures = [picture[:, ::-1] for picture in pictures]
    stored = [np.ascontiguousarray(np.rot90(p, recipe.rotation_deg // 90)) for p in pictures]
    return encode(path, stored, recipe), places


def upright_aspect(recipe: Recipe) -> float:
    """Width over height of a pixel as a player shows it."""
    aspect = float(recipe.aspect or 1)
    return 1 / aspect if recipe.rotation_deg in (90, 270) else aspect


def crop_pixel_px(box: tuple[float, float, float, float], recipe: Recipe) -> float:
    """Height of a crop's pixel in pixels of the frame."""
    x0, y0, x1, y1 = box
    return CROP_SCALE * max((x1 - x0) * upright_aspect(recipe), y1 - y0) / CROP_PX


def seen_in(clip: Clip, boxes: Any) -> SegmentLandmarks:
    """The clip after decoding, cropping and the fake network."""
    segment = whole_video(str(clip.path))
    with open_video(str(clip.path), segment=segment) as opened:
        frames = FrameStream(segment, opened)
        windows = list(decode_windows(segment, frames, boxes, CropSpec(CROP_PX, CROP_SCALE, 3)))
    (landmarks,) = align_windows(windows, SpotModel(), batch_windows=16)
    return landmarks


def errors_px(landmarks: SegmentLandmarks, places: np.ndarray) -> np.ndarray:
    """(COUNT, 2): distance of each frame's landmark from its spot."""
    assert landmarks.rows.frame.tolist() == list(range(COUNT))
    return landmarks.landmarks_px[:, 0].astype(np.float64) - places


def given(box: tuple[float, float, float, float]) -> GivenBoxes:
    return GivenBoxes(np.arange(COUNT), np.full((COUNT, 4), box, np.float32), by="frame_index")


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_landmark_of_a_mirrored_video_lands_where_a_player_shows_it(tmp_path, turn):
    box = (50.0, 30.0, 110.0, 90.0)
    recipe = Recipe(rotation_deg=turn, mirrored=True, options=LOSSLESS)
    clip, places = spots_clip(tmp_path / "spots.mp4", SMALL, box, recipe)
    landmarks = seen_in(clip, given(box))
    assert landmarks.geometry.mirrored
    assert np.abs(errors_px(landmarks, places)).max() < FINE_TOLERANCE_PX


SMALL, LARGE = (160, 120), (640, 480)
SCENES = {
    # name: upright size, box on it, clockwise turn, stored pixel's width:height
    "plain": (SMALL, (50.0, 30.0, 110.0, 90.0), 0, None),
    "turned 90": (SMALL, (50.0, 30.0, 110.0, 90.0), 90, None),
    "turned 180": (SMALL, (50.0, 30.0, 110.0, 90.0), 180, None),
    "turned 270": (SMALL, (50.0, 30.0, 110.0, 90.0), 270, None),
    "wide pixels": (SMALL, (60.3, 30.7, 100.1, 88.4), 0, Fraction(4, 3)),
    "narrow pixels": (SMALL, (40.0, 40.0, 120.0, 80.0), 0, Fraction(1, 2)),
    "turned 90, wide pixels": (SMALL, (50.0, 40.0, 110.0, 80.0), 90, Fraction(4, 3)),
    "turned 270, narrow pixels": (SMALL, (60.0, 40.0, 100.0, 80.0), 270, Fraction(1, 2)),
    "enlarged": (SMALL, (70.2, 50.6, 94.9, 76.3), 0, None),
    "shrunk": (LARGE, (200.5, 120.25, 440.5, 360.25), 0, None),
    "shrunk, turned 90": (LARGE, (200.0, 130.0, 430.0, 370.0), 90, None),
    "shrunk, wide pixels": (LARGE, (220.0, 130.0, 400.0, 370.0), 180, Fraction(16, 11)),
    "shrunk by two": (LARGE, (200.5, 120.25, 306.5, 225.0), 0, None),
    "shrunk by eight": ((960, 720), (280.0, 150.0, 680.0, 560.0), 0, None),
    "at the edge": (SMALL, (18.0, 18.0, 60.0, 70.0), 0, None),
}


@pytest.mark.parametrize("name", SCENES)
def test_a_landmark_lands_where_the_frame_shows_it(tmp_path, name):
    size, box, turn, aspect = SCENES[name]
    recipe = Recipe(rotation_deg=turn, aspect=aspect, options=LOSSLESS)
    clip, places = spots_clip(tmp_path / "spots.mp4", size, box, recipe)
    errors = errors_px(seen_in(clip, given(box)), places)
    fine = crop_pixel_px(box, recipe) <= 2
    assert np.abs(errors).max() < (FINE_TOLERANCE_PX if fine else TOLERANCE_PX)
    assert np.abs(errors.mean(0)).max() < 0.01


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe("ffv1"),
        Recipe("ffv1", pixel_format="yuv422p10le"),
        Recipe("ffv1", pixel_format="yuv444p", full_range=True),
        Recipe("ffv1", pixel_format="gray"),
        Recipe("libx264rgb", pixel_format="rgb24", options=LOSSLESS),
        Recipe("libx264", options={"crf": "18", "preset": "medium"}),
        Recipe("libvpx-vp9", options={"crf": "20", "b": "2M"}),
        Recipe("mpeg2video", options={"b": "4M"}),
    ],
    ids=lambda recipe: f"{recipe.codec} {recipe.pixel_format}",
)
def test_whatever_the_codec_and_pixel_format(tmp_path, recipe):
    box = (50.0, 30.0, 110.0, 90.0)
    clip, places = spots_clip(tmp_path / "spots.mkv", SMALL, box, recipe)
    errors = errors_px(seen_in(clip, given(box)), places)
    lossless = recipe.codec in ("ffv1", "libx264rgb")
    assert np.abs(errors).max() < (TOLERANCE_PX if lossless else 4 * TOLERANCE_PX)
    assert np.abs(errors.mean(0)).max() < TOLERANCE_PX  # a codec must not shift the picture


@pytest.mark.parametrize(
    ("size", "turn", "aspect"),
    [
        (SMALL, 0, None),
        (SMALL, 90, None),
        (SMALL, 270, Fraction(4, 3)),
        ((200, 300), 0, Fraction(1, 2)),
        (LARGE, 180, None),
    ],
)
def test_a_detected_box_lies_where_the_frame_shows_the_face(tmp_path, size, turn, aspect):
    """The detector gets a smaller picture with square pixels; its boxes are mapped back exactly."""
    width, height = size
    recipe = Recipe(rotation_deg=turn, aspect=aspect, options=LOSSLESS)
    inner = (0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height)
    clip, places = spots_clip(tmp_path / "spots.mp4", size, inner, recipe, sigma_crop_px=5.0)
    found = []
    segment = whole_video(str(clip.path))
    with open_video(str(clip.path), segment=segment) as opened:
        source = DetectedBoxes(SpotDetector(), opened.time_base)
        for number, (pts, frame) in enumerate(FrameStream(segment, opened)):
            boxes, _ = source.find(number, pts, FramePixels(frame), upright_aspect(recipe))
            found.append([(boxes[0, 0] + boxes[0, 2]) / 2, (boxes[0, 1] + boxes[0, 3]) / 2])
    assert np.abs(np.array(found) - places).max() < TOLERANCE_PX


TIMES = {
    "jitter.mp4": ([0, 1, 2, 10, 11, 12, 13, 17, 18, 19, 20, 21], 25),
    "gap.mkv": ([*range(10), *range(510, 520)], 25),
    "fine.mp4": ([0, 1001, 1003, 2002, 3003, 3004, 5005, 6006, 7007, 8008], 30_000),
    "film.mp4": (range(0, 20_020, 1001), 24_000),
    "late.ts": (range(300, 325), 25),
    "millis.mkv": (range(0, 20_020, 1001), 30_000),
    "b-frames.mp4": ([0, 2, 3, 7, 8, 9, 13, 14, 15, 16, 20, 21, 22, 23], 25),
}


@pytest.fixture(scope="module")
def timed(tmp_path_factory) -> tuple[dict[str, Clip], Path]:
    """Clips with unusual times and a box on every frame, annotated in one run."""
    folder = tmp_path_factory.mktemp("timed")
    clips = {}
    with (folder / "clips.jsonl").open("w") as manifest:
        for name, (at, rate) in TIMES.items():
            recipe = Recipe(at=at, rate=rate, b_frames=2 if name == "b-frames.mp4" else 0)
            clips[name] = encode(folder / name, moving(len(at), 96, 72), recipe)
            rows = [f"{i},20,10,70,60" for i in range(len(at))]
            lines = ["frame_index,x0,y0,x1,y1", *rows]
            (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
            manifest.write(json.dumps({"uri": name, "boxes": f"{name}.csv"}) + "\n")
    command = [
        sys.executable,
        "-m",
        "pipeline.commands.cli",
        "annotate",
        str(folder / "clips.jsonl"),
    ]
    command += ["--output", str(folder / "out"), "--workers", "1", "--segment-seconds", "0.5"]
    command += ["--stabilizer", "none"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, timeout=300, stdout=subprocess.DEVNULL
    )
    return clips, folder / "out"


@pytest.mark.parametrize("name", TIMES)
def test_rows_have_the_frames_own_times(timed, name):
    clips, output = timed
    clip = clips[name]
    rows = pq.ParquetFile(output / "tracks" / f"{name}.parquet").read().to_pydict()
    assert tuple(rows["pts"]) == clip.pts
    assert rows["pts_seconds"] == [float(pts * clip.time_base) for pts in clip.pts]
    assert rows["frame_index"] == list(range(len(TIMES[name][0])))
    assert max(rows["face_id"]) == (1 if "gap" in name else 0)  # no face is remembered after 20 s
    status = pq.ParquetFile(output / "videos" / f"{name}.parquet").read().to_pylist()[0]
    assert status["frames_decoded"] == status["face_frames"] == clip.frames
    assert status["time_base"] == str(clip.time_base)
