"""Readers of labelled faces: pictures with 68 landmarks each.

| reader | format |
| --- | --- |
| read_landmark_csv | a header, then: image name, x0, y0, ..., x67, y67 |
| read_pts | iBUG .pts, one face a file, counted from 1 |
| read_dlib_xml | dlib's image metadata: several faces a picture, named parts |
| read_pseudo68 | teacher labels of a video's faces (.npz) and the video |

Files are not trusted: a broken annotation raises AnnotationError, which names file and line.
"""

from __future__ import annotations

import csv
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import numpy.typing as npt

from models.face_box import box_from_landmarks
from models.face_tracking import box_iou
from schemas.errors import UsageError
from schemas.landmarks import LANDMARK_COUNT, OUTER_EYE_CORNERS

__all__ = [
    "AnnotationError",
    "LabelledFace",
    "read_dlib_xml",
    "read_landmark_csv",
    "read_pseudo68",
    "read_pts",
    "read_rgb",
]


#: Faces are numbered frame by frame; where two boxes overlap less, the number changed hands.
_SAME_FACE_IOU: Final = 0.4


class AnnotationError(UsageError):
    """An annotation file is not what it must be; the message names file and line."""


@dataclass(frozen=True, slots=True, repr=False)
class LabelledFace:
    """One face in one picture.

    name: where it comes from, for messages and lists.
    image: (H, W, 3) uint8 RGB, or the path of a picture to be read.
    landmarks_px: (68, 2) float32, top-left pixel centre at (0, 0).
    box_xyxy_px: (4,) float32, YuNet's own or what `box_from_landmarks` makes of the landmarks.
    earlier: the same face in the frames just before, oldest first, where they are known.
    """

    name: str
    image: npt.NDArray[np.uint8] | Path
    landmarks_px: npt.NDArray[np.float32]
    box_xyxy_px: npt.NDArray[np.float32]
    earlier: tuple[LabelledFace, ...] = ()

    def __repr__(self) -> str:
        """The name and the box; no pixels."""
        return f"LabelledFace({self.name!r}, box {np.round(self.box_xyxy_px, 1).tolist()})"

    def load(self) -> npt.NDArray[np.uint8]:
        """The picture: (H, W, 3) uint8 RGB."""
        return read_rgb(self.image) if isinstance(self.image, Path) else self.image


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """A picture as (H, W, 3) uint8 RGB.

    Raises:
        AnnotationError: the file is missing or is no picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise AnnotationError(f"{path}: cannot be read as a picture")
    return np.ascontiguousarray(image[..., ::-1])


def read_landmark_csv(table: Path, image_folder: Path) -> list[LabelledFace]:
    """Reads rows of an image name and 68 x, y pairs; the first line is a header.

    Raises:
        AnnotationError: a row has not 137 columns, a value is not a finite number, or the
            landmarks are not those of a face.
    """
    faces = []
    with table.open(newline="") as file:
        rows = csv.reader(file)
        next(rows, None)
        for row in rows:
            where = f"{table}:{rows.line_num}"
            if len(row) != 1 + 2 * LANDMARK_COUNT:
                raise AnnotationError(
                    f"{where}: got {len(row)} columns, expected {1 + 2 * LANDMARK_COUNT}"
                )
            landmarks = _landmarks(where, [row[1::2], row[2::2]])
            faces.append(_face(row[0], image_folder / row[0], landmarks))
    return faces


def read_pts(path: Path, image: Path) -> LabelledFace:
    """Reads one iBUG .pts file (version 1, 68 points); pixels there count from 1.

    Raises:
        AnnotationError: the points between { and } are not 68 pairs of finite numbers.
    """
    lines = path.read_text("ascii", errors="replace").splitlines()
    texts = [line.strip() for line in lines]
    if "{" not in texts or "}" not in texts:
        raise AnnotationError(f"{path}: got no block of points, expected {{ ... }}")
    first = texts.index("{") + 1
    pairs = []
    for number, text in enumerate(texts[first : texts.index("}")], first + 1):
        pair = text.split()
        if len(pair) != 2:
            raise AnnotationError(f"{path}:{number}: got {text!r}, expected x and y")
        pairs.append(pair)
        _numbers(f"{path}:{number}", pair)
    if len(pairs) != LANDMARK_COUNT:
        raise AnnotationError(f"{path}: got {len(pairs)} points, expected {LANDMARK_COUNT}")
    landmarks = _landmarks(f"{path}:{first + 1}", list(zip(*pairs, strict=True))) - np.float32(1)
    return _face(path.stem, image, landmarks)


def read_dlib_xml(path: Path) -> list[LabelledFace]:
    """Reads dlib's image metadata; pictures are looked for beside the file.

    Raises:
        AnnotationError: the XML is broken, or a face has not parts 00 to 67.
    """
    parser = ElementTree.XMLParser()  # noqa: S314  expat >= 2.4.1 bounds entity expansion
    try:
        root = ElementTree.fromstring(path.read_bytes(), parser)  # noqa: S314
    except ElementTree.ParseError as error:
        raise AnnotationError(f"{path}:{error.position[0]}: broken XML: {error}") from error
    faces = []
    for image in root.iter("image"):
        name = image.get("file", "")
        for number, box in enumerate(image.iter("box")):
            where = f"{path}: {name} face {number}"
            parts = {part.get("name", ""): part for part in box.iter("part")}
            names = [f"{index:02d}" for index in range(LANDMARK_COUNT)]
            missing = [part for part in names if part not in parts]
            if missing:
                raise AnnotationError(f"{where}: got no part {missing[0]}, expected 00 to 67")
            columns = [[parts[part].get(axis, "") for part in names] for axis in "xy"]
            faces.append(_face(f"{name}#{number}", path.parent / name, _landmarks(where, columns)))
    return faces


def read_pseudo68(
    labels: Path,
    video: Path,
    *,
    max_spread_percent: float = 1.5,
    faces_per_video: int = 60,
    earlier_frames: int = 0,
) -> list[LabelledFace]:
    """Teacher labels of the faces of one video, with the frames they were made on.

    Labels are smoothed along time (a binomial 1-4-6-4-1 over frames that are consecutive and
    hardly move); what spreads more than `max_spread_percent` is left out; then at most
    `faces_per_video` are kept, evenly spaced, each with up to `earlier_frames` frames of the
    same face just before it.

    Raises:
        AnnotationError: the .npz lacks an array or holds arrays of other shapes, or the video
            cannot be opened or has fewer frames than the labels name.
    """
    arrays = _load_pseudo_arrays(labels)
    landmarks = _smooth_along_time(arrays["landmarks_px"], arrays["frame_index"], arrays["face"])
    usable = np.flatnonzero(
        (arrays["spread_percent"] <= max_spread_percent)
        & np.isfinite(landmarks).all((1, 2))
        & (_interocular_px(landmarks) > 0.2 * arrays["box_xywh_px"][:, 2])  # not a profile
    )
    if len(usable) > faces_per_video:
        spaced = np.linspace(0, len(usable) - 1, faces_per_video)
        usable = usable[np.round(spaced).astype(int)]
    frame_index, face = arrays["frame_index"].tolist(), arrays["face"].tolist()
    row_at = {place: row for row, place in enumerate(zip(face, frame_index, strict=True))}
    wanted: dict[int, list[int]] = defaultdict(list)
    for row in usable.tolist():
        wanted[frame_index[row]].append(row)
    needed = {index - ago for index in wanted for ago in range(earlier_frames + 1)}
    recent: deque[tuple[int, npt.NDArray[np.uint8]]] = deque(maxlen=earlier_frames + 1)
    faces = []

    def labelled(row: int, image: npt.NDArray[np.uint8]) -> LabelledFace:
        x, y, w, h = arrays["box_xywh_px"][row]
        box = np.array([x, y, x + w, y + h], np.float32)
        return LabelledFace(f"{video.name}@{frame_index[row]}", image, landmarks[row], box)

    for index, image in _frames(video, needed):
        recent.append((index, image))
        for row in wanted.pop(index, ()):
            latest = labelled(row, image)
            earlier: list[LabelledFace] = []
            for before, picture in list(recent)[-2::-1]:  # back in time, without a gap
                known = row_at.get((face[row], before))
                if before != index - len(earlier) - 1 or known is None:
                    break
                frame = labelled(known, picture)
                if box_iou(frame.box_xyxy_px[None], latest.box_xyxy_px[None]) < _SAME_FACE_IOU:
                    break
                earlier.insert(0, frame)
            faces.append(replace(latest, earlier=tuple(earlier)))
    if wanted:
        raise AnnotationError(
            f"{labels}: frame {min(wanted)} is not in {video.name}, which ends before it"
        )
    return faces


def _load_pseudo_arrays(labels: Path) -> dict[str, npt.NDArray[Any]]:
    shapes = {
        "frame_index": (),
        "face": (),
        "box_xywh_px": (4,),
        "landmarks_px": (LANDMARK_COUNT, 2),
        "spread_percent": (),
    }
    try:
        with np.load(labels, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in shapes}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise AnnotationError(f"{labels}: not a file of teacher labels: {error}") from error
    count = len(arrays["frame_index"])
    for name, shape in shapes.items():
        if arrays[name].shape != (count, *shape):
            raise AnnotationError(
                f"{labels}: {name} has shape {arrays[name].shape}, expected {(count, *shape)}"
            )
    return arrays


def _smooth_along_time(
    landmarks_px: npt.NDArray[np.floating],
    frame_index: npt.NDArray[np.integer],
    face: npt.NDArray[np.integer],
) -> npt.NDArray[np.float32]:
    """Binomial smoothing of (N, 68, 2) within runs of frames of one face that hardly moves."""
    smoothed = landmarks_px.astype(np.float32)
    taps = {-2: 1.0, -1: 4.0, 0: 6.0, 1: 4.0, 2: 1.0}
    at = {(int(f), int(i)): row for row, (f, i) in enumerate(zip(face, frame_index, strict=True))}
    interocular = _interocular_px(landmarks_px)
    for (f, i), row in at.items():
        near = [at[f, i + step] for step in taps if (f, i + step) in at]
        if len(near) < len(taps):
            continue
        stack = landmarks_px[near].astype(np.float64)
        motion = np.linalg.norm(stack - stack[2], axis=-1).mean(-1).max()
        if motion < 0.05 * interocular[row]:
            weights = np.array(list(taps.values())) / 16
            smoothed[row] = np.tensordot(weights, stack, axes=1)
    return smoothed


def _frames(video: Path, wanted: set[int]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The wanted frames of a video, counted in decoding order, as (H, W, 3) uint8 RGB."""
    try:
        with av.open(str(video)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index in wanted:
                    yield index, frame.to_ndarray(format="rgb24")
                if index >= max(wanted, default=-1):
                    return
    except av.FFmpegError as error:
        raise AnnotationError(f"{video}: cannot be decoded: {error}") from error


def _interocular_px(landmarks: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(  # type: ignore[no-any-return]
        landmarks[:, right].astype(np.float64) - landmarks[:, left], axis=-1
    )


def _face(name: str, image: Path, landmarks: npt.NDArray[np.float32]) -> LabelledFace:
    return LabelledFace(name, image, landmarks, box_from_landmarks(landmarks))


def _landmarks(where: str, columns: Any) -> npt.NDArray[np.float32]:
    landmarks = np.stack([_numbers(where, column) for column in columns], axis=-1)
    if _interocular_px(landmarks[None])[0] <= 0:
        raise AnnotationError(f"{where}: landmarks 36 and 45 coincide, expected two eyes")
    return landmarks


def _numbers(where: str, texts: Any) -> npt.NDArray[np.float32]:
    try:
        values = np.array([float(text) for text in texts], np.float32)
    except ValueError as error:
        raise AnnotationError(f"{where}: {error}") from error
    if not np.isfinite(values).all():
        raise AnnotationError(f"{where}: got a value that is not finite")
    return values
