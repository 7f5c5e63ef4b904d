"""Commands decode videos in a limited child: a hostile video gives one error message."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from models.detection.face_detector import load_face_detector
from models.frame_pixels import FramePixels
from models.landmarks.datasets.labelled_face import AnnotationError
from pipeline.commands.evaluate_coverage import measure_coverage
from pipeline.commands.render import render_contact_sheet, render_video, shown_size
from pipeline.commands.sample import write_sample
from pipeline.data.labelled_tracks import AnnotatedVideo
from pipeline.videos.cropping import crop
from pipeline.videos.redaction import redact
from pipeline.videos.track_file import read_track_file
from schemas.errors import UsageError, VideoError
from tests.hostile.encoding import Recipe, encode, moving


@pytest.fixture(scope="module")
def tracks(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("sample") / "clip.mp4"
    write_sample(path, seconds=0.2, size_px=64)
    return str(path.with_name("clip.truth.parquet"))


@pytest.fixture(scope="module")
def bomb(tmp_path_factory) -> Path:
    """A picture of 7200 x 7200 px, more than are allowed, in 60 kB."""
    path = tmp_path_factory.mktemp("bombs") / "bomb.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 7200, 7200, "gray"
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.zeros((7200, 7200), np.uint8), "gray"))
        )
    return path


COMMANDS = {
    "render .mp4": lambda video, rows, to, _: render_video(video, rows, to / "a.mp4"),
    "render .png": lambda video, rows, to, _: render_contact_sheet(video, rows, to / "a.png"),
    "redact": lambda video, rows, to, _: redact(video, rows, to / "a.mp4"),
    "crop": lambda video, rows, to, _: crop(video, rows, str(to / "faces")),
    "evaluate coverage": lambda video, _, to, file: measure_coverage(
        video, file, load_face_detector("default"), 20.0
    ),
    "evaluate tracks": lambda video, *_: list(AnnotatedVideo(video).pictures({0})),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bomb_goes_off_in_the_child(command, bomb, tracks, tmp_path):
    expected = AnnotationError if command == "evaluate tracks" else VideoError
    with pytest.raises(expected, match=r"bomb\.mov: .*7200x7200"):
        COMMANDS[command](str(bomb), read_track_file(tracks), tmp_path, tracks)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_shape_of_pixels_does_not_make_a_picture_large(tracks, tmp_path):
    """96 x 16 px that claim to be 200 times as wide as high: 19200 x 16, enlarged by 30."""
    recipe = Recipe("ffv1", aspect=Fraction(200), gop=1)
    clip = encode(tmp_path / "strip.mkv", moving(3, 96, 16), recipe)
    with pytest.raises(UsageError, match="its own"):
        render_video(str(clip.path), read_track_file(tracks), tmp_path / "a.mp4")
    pixels = FramePixels(av.VideoFrame(96, 16, "gray"))
    assert shown_size(pixels, Fraction(200)) == (8192, 6)
    assert shown_size(pixels, Fraction(1)) == (2880, 480)
