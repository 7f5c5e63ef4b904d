"""Training data of the face detector: frames and stills with the boxes of a teacher.

The teacher is YuNet. Its boxes are computed once and stored with the reduced images in one pair
of files for each source, which training memory-maps:

    NAME.npy    (bytes,) uint8: the pixels of every image, one after the other
    NAME.npz    where each image lies in it, and its boxes

Training and validation never share a video, nor a family of videos.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import av
import cv2
import numpy as np
import numpy.typing as npt

from models.atomic_write import atomic_write
from models.boxes import iou
from models.crops import fit_affine, sample_plane, thumbnail_affine
from models.detection.detections import Detections, FaceDetector
from models.frame_pixels import frame_orientation, upright_picture
from schemas.errors import UsageError

#: Never trained on. Whole families of videos (one person, one studio) stay together.
VALIDATION_VIDEOS: Final = frozenset(
    {
        "livingbio__00000.mp4",
        "livingbio__00002.mp4",
        "mpiigaze_demo__video01.mp4",
        "mpiigaze_demo__video02.mp4",
        "pyfeat__face_noface.mov",
        "pyfeat__no_face.mp4",
        "pyfeat__noface_face.mov",
        "pyfeat__single_face.mp4",
        "spectre__0Fi83BHQsMA_00002.mp4",
        "spectre__M003_level_1_disgusted_015.mp4",
        "spectre__PbgB2TaYhio_00007.mp4",
        "spectre__W036_level_3_happy_007.mp4",
        "spectre__W040_level_3_happy_029.mp4",
    }
)

_INPUT_LONGEST_SIDE_PX: Final = 640
_GRID_SECONDS: Final = 0.2
_MERGE_IOU: Final = 0.4
_STILL_WEIGHTS: Final = {"ytf68_train": 25.0, "images68_faces69": 3.0}
_IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image reduced for the detector, with the teacher's boxes.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy_px: (N, 4) float32 in the image's pixels.
        scores: (N,) float32, the teacher's.
        turns: (N,) float32 in [-0.5, 0.5], the nose's place between the middle of the box
            and its left or right edge.
    """

    image: npt.NDArray[np.uint8]
    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    turns: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3:
            raise ValueError(f"image: got {self.image.shape}, expected (H, W, 3)")
        if self.boxes_xyxy_px.shape != (len(self.scores), 4):
            raise ValueError(
                f"boxes_xyxy_px: got {self.boxes_xyxy_px.shape}, expected ({len(self.scores)}, 4)"
            )
        if self.turns.shape != self.scores.shape:
            raise ValueError(f"turns: got {self.turns.shape}, expected {self.scores.shape}")

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        return f"LabelledImage({width}x{height}, {len(self.scores)} boxes)"


class Teacher(FaceDetector, Protocol):
    """A detector that also measures how far faces are turned, such as `YuNetDetector`."""

    def turns(self, image: npt.NDArray[np.uint8], faces: Detections) -> npt.NDArray[np.float32]:
        """(N,) float32 in [-0.5, 0.5] for the faces that it found in the image."""
        ...


class LabelledImages(Sequence[LabelledImage]):
    """The images of one source, mapped from disk: a sequence of `LabelledImage`.

    Args:
        path: the `.npz`; the pixels are in the `.npy` beside it.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        with np.load(path, allow_pickle=False) as index:
            self._index = dict(index)
        self._pixels = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)

    def __len__(self) -> int:
        return len(self._index["offsets"])

    def __getitem__(self, i: int) -> LabelledImage:  # type: ignore[override]  # no slices
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {self.name}, which has {len(self)}")
        height, width = self._index["shapes"][i]
        start = self._index["offsets"][i]
        pixels = self._pixels[start : start + height * width * 3].reshape(height, width, 3)
        first, stop = self._index["box_starts"][i : i + 2]
        labels = (self._index[name][first:stop] for name in ("boxes_xyxy_px", "scores", "turns"))
        return LabelledImage(pixels, *labels)


#: The teacher's file in a data folder.
YUNET_UNDER_DATA: Final = Path("detectors") / "yunet" / "yunet_n_640_640.onnx"


def video_sources(data: Path) -> list[Path]:
    """The videos under `data`/videos, by name.

    Raises:
        UsageError: there are none.
    """
    found = sorted(p for p in (data / "videos").glob("*") if p.is_file())
    if not found:
        raise UsageError(f"no videos: {data / 'videos'} is missing or empty")
    return found


def still_sources(data: Path) -> dict[str, list[Path]]:
    """Folders of photographs under `data` to train on, by name; an absent folder is left out."""
    folders = {
        "ytf68_train": data / "ytf68" / "train",
        "images68_300vw": data / "images68" / "300vw_mmpose",
        "images68_faces69": data / "images68" / "pytorch_tutorial_faces69_dlib",
    }
    found = {
        name: sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
        for name, folder in folders.items()
    }
    return {name: paths for name, paths in found.items() if paths}


def source_weights(names: Sequence[str]) -> npt.NDArray[np.float64]:
    """(len(names),) chance of drawing from each source: a folder of stills outweighs a clip."""
    weights = np.array([_STILL_WEIGHTS.get(name, 1.0) for name in names], np.float64)
    weights /= weights.sum()
    return weights


def read_video_frames(path: Path, *, limit: int | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Upright (H, W, 3) uint8 RGB frames of a video, about one in each 0.2 s.

    Packets that do not decode are skipped. With `limit`, the grid is widened so that
    at most about that many frames come.
    """
    with av.open(str(path)) as container:
        # The header's number of frames may be wrong; packets are counted.
        packets = sum(1 for packet in container.demux(video=0) if packet.size)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        step = max(1, round(_GRID_SECONDS * float(stream.average_rate or 25)))
        if limit is not None:
            step = max(step, -(-packets // limit))
        count = 0
        for packet in container.demux(stream):
            try:
                frames_of_packet: list[Any] = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames_of_packet:
                if count % step == 0:
                    orientation = frame_orientation(frame) or (0, False)
                    yield upright_picture(frame.to_ndarray(format="rgb24"), *orientation)
                count += 1


def read_stills(paths: Iterable[Path]) -> Iterator[npt.NDArray[np.uint8]]:
    """(H, W, 3) uint8 RGB photographs; a file that is not an image is skipped."""
    for path in paths:
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is not None:
            yield np.ascontiguousarray(bgr[:, :, ::-1])


def reduce_image(
    image: npt.NDArray[np.uint8], longest_side_px: int = _INPUT_LONGEST_SIDE_PX
) -> npt.NDArray[np.uint8]:
    """Reduces (H, W, 3) uint8 so that its longest side is at most `longest_side_px`."""
    height, width = image.shape[:2]
    if max(height, width) <= longest_side_px:
        return image
    affine, width, height = thumbnail_affine(width, height, longest_side_px)
    return sample_plane(image, affine, width, height).astype(np.uint8, copy=False)


def teach(teacher: FaceDetector, image: npt.NDArray[np.uint8]) -> Detections:
    """The teacher's boxes of an image at its own scale and, for faces too large there, at half.

    A face that is found at both scales keeps its box of the full scale.
    """
    full = teacher.detect(image)
    height, width = image.shape[:2]
    half_width, half_height = max(1, width // 2), max(1, height // 2)
    affine = fit_affine(width, height, out_width_px=half_width, out_height_px=half_height)
    half_image = sample_plane(image, affine, half_width, half_height)
    half = teacher.detect(half_image.astype(np.uint8, copy=False)).in_frame(affine)
    sure = full.scores >= 0.6
    overlap = iou(half.boxes_xyxy_px, full.boxes_xyxy_px)
    new = ~(overlap[:, sure] > _MERGE_IOU).any(1)
    # A box of the half scale with a higher score replaces one of the full scale.
    beaten = ((overlap > _MERGE_IOU) & (half.scores[:, None] > full.scores)).any(0) & ~sure
    new &= ~((overlap > _MERGE_IOU) & (half.scores[:, None] <= full.scores)).any(1)
    return Detections.sorted_by_score(
        np.concatenate([full.boxes_xyxy_px[~beaten], half.boxes_xyxy_px[new]]),
        np.concatenate([full.scores[~beaten], half.scores[new]]),
    )


def label_images(
    images: Iterable[npt.NDArray[np.uint8]], teacher: Teacher, path: Path
) -> LabelledImages:
    """Reduces and labels images, writes them to `path` (.npz, .npy beside it), and maps them.

    Both files appear whole or not at all.
    """
    labelled: list[LabelledImage] = []
    for image in images:
        reduced = reduce_image(image)
        taught = teach(teacher, reduced)
        turns = teacher.turns(reduced, taught)
        labelled.append(LabelledImage(reduced, taught.boxes_xyxy_px, taught.scores, turns))
    sizes = np.array([one.image.size for one in labelled], np.int64)
    counts = [len(one.scores) for one in labelled]
    pixels = [one.image.reshape(-1) for one in labelled]
    with atomic_write(path.with_suffix(".npy")) as temporary:
        np.save(temporary, np.concatenate([*pixels, np.zeros(0, np.uint8)]))
    nothing = Detections.empty()
    boxes = [one.boxes_xyxy_px for one in labelled] + [nothing.boxes_xyxy_px]
    with atomic_write(path) as temporary:
        np.savez(
            temporary,
            offsets=np.cumsum(sizes) - sizes,
            shapes=np.array([one.image.shape[:2] for one in labelled], np.int64).reshape(-1, 2),
            box_starts=np.cumsum([0, *counts], dtype=np.int64),
            boxes_xyxy_px=np.concatenate(boxes),
            scores=np.concatenate([one.scores for one in labelled] + [nothing.scores]),
            turns=np.concatenate([one.turns for one in labelled] + [nothing.scores]),
        )
    return LabelledImages(path)
