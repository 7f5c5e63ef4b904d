import numpy as np
import pytest

from models.detection.detections import Detections
from models.detection.training.labelled_images import (
    VALIDATION_VIDEOS,
    LabelledImage,
    label_images,
    read_stills,
    read_video_frames,
    reduce_image,
    source_weights,
    still_sources,
    teach,
    video_sources,
)
from schemas.errors import UsageError


class SquareTeacher:
    """A `FaceDetector` that returns the bright part of an image as a face."""

    name = "squares"
    input_longest_side_px = 640
    weights_sha256 = ""

    def __init__(self, largest_px: float = 1e9, score: float = 0.9) -> None:
        self.largest_px, self.score = largest_px, score

    def detect(self, image: np.ndarray) -> Detections:
        y, x = np.nonzero(image[:, :, 0] > 128)
        if len(x) == 0 or np.ptp(x) + 1 > self.largest_px:
            return Detections.empty()
        box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
        return Detections.sorted_by_score([box], [self.score])

    def turns(self, image: np.ndarray, faces: Detections) -> np.ndarray:
        return np.full(len(faces), 0.25, np.float32)


def square(height: int, width: int, x0: int, y0: int, side: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y0 : y0 + side, x0 : x0 + side] = 255
    return image


def test_labels_come_back_as_they_were_written(tmp_path):
    images = [square(60, 80, 10, 20, 16), square(30, 20, 0, 0, 0), square(50, 50, 4, 8, 12)]
    written = label_images(images, SquareTeacher(), tmp_path / "clip.mp4.npz")
    assert written.name == "clip.mp4"
    assert [item.image.shape for item in written] == [(60, 80, 3), (30, 20, 3), (50, 50, 3)]
    for item, image in zip(written, images, strict=True):
        assert np.array_equal(item.image, image)
    assert written[0].boxes_xyxy_px.tolist() == [[10, 20, 26, 36]]
    assert len(written[1].scores) == 0
    assert written[2].turns.tolist() == [0.25]
    assert written[2].boxes_xyxy_px.tolist() == [[4, 8, 16, 20]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4.npy", "clip.mp4.npz"]


def test_no_images_are_no_trouble(tmp_path):
    assert len(label_images([], SquareTeacher(), tmp_path / "none.npz")) == 0


def test_an_index_past_the_end_is_refused(tmp_path):
    written = label_images([square(9, 9, 1, 1, 3)], SquareTeacher(), tmp_path / "one.npz")
    with pytest.raises(IndexError, match="image 1 of one, which has 1"):
        written[1]


def test_a_large_image_is_reduced(tmp_path):
    written = label_images(
        [square(720, 1280, 400, 200, 200)], SquareTeacher(), tmp_path / "large.npz"
    )
    item = written[0]
    assert item.image.shape == (360, 640, 3)
    np.testing.assert_allclose(item.boxes_xyxy_px, [[200, 100, 300, 200]], atol=1)


def test_a_small_image_is_never_enlarged():
    image = square(20, 30, 2, 2, 5)
    assert reduce_image(image) is image
    assert reduce_image(np.zeros((2000, 1, 3), np.uint8)).shape == (640, 1, 3)


def test_a_face_too_large_for_the_teacher_is_found_at_half_scale():
    image = square(200, 200, 20, 40, 120)
    found = teach(SquareTeacher(largest_px=100), image)
    np.testing.assert_allclose(found.boxes_xyxy_px, [[20.5, 40.5, 140.5, 160.5]], atol=1)


def test_a_face_found_at_both_scales_is_one_face_of_the_full_scale():
    found = teach(SquareTeacher(), square(200, 200, 21, 41, 119))
    assert found.boxes_xyxy_px.tolist() == [[21, 41, 140, 160]]


def test_labels_check_their_ranks():
    image, one = np.zeros((4, 4, 3), np.uint8), np.zeros(1, "f4")
    with pytest.raises(ValueError, match=r"boxes_xyxy_px: got \(2, 4\), expected \(1, 4\)"):
        LabelledImage(image, np.zeros((2, 4), "f4"), one, one)
    with pytest.raises(ValueError, match=r"turns: got \(2,\), expected \(1,\)"):
        LabelledImage(image, np.zeros((1, 4), "f4"), one, np.zeros(2, "f4"))


def test_a_folder_of_stills_outweighs_a_clip():
    weights = source_weights(["a.mp4", "b.mp4", "ytf68_train"])
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[1]
    assert weights[2] > 5 * weights[0]


def test_sources_are_found_by_name(tmp_path):
    with pytest.raises(UsageError, match="no videos: "):
        video_sources(tmp_path)
    for name in ("videos/b.mp4", "videos/a.webm", "ytf68/train/x.jpg", "ytf68/train/y.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [p.name for p in video_sources(tmp_path)] == ["a.webm", "b.mp4"]
    assert {n: [p.name for p in ps] for n, ps in still_sources(tmp_path).items()} == {
        "ytf68_train": ["x.jpg"]
    }
    assert list(read_stills([tmp_path / "ytf68/train/x.jpg"])) == []


def test_frames_come_on_the_grid(tmp_path):
    path = tmp_path / "grey.mp4"
    write_clip(path, frames=20, rate=10)
    greys = [int(frame.mean()) for frame in read_video_frames(path)]  # every second frame
    np.testing.assert_allclose(greys, np.arange(0, 200, 20), atol=3)
    assert len(list(read_video_frames(path, limit=5))) == 5


def write_clip(path, *, frames: int, rate: int) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            image = np.full((48, 64, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.realdata
def test_every_validation_video_exists_and_takes_its_family_along(shared_data):
    names = {p.name for p in video_sources(shared_data)}
    assert names >= VALIDATION_VIDEOS
    families = {name.split("__")[0] for name in VALIDATION_VIDEOS}
    assert {n for n in names if n.split("__")[0] in families} == VALIDATION_VIDEOS
