"""The labelled faces of `facetracks train landmarks`: what is trained on, what chooses the epoch.

    --data DIR   its training sets by their shares        validated on ytf68/val
    --set SPEC   windows of three frames, and stills      a share of its videos and pictures held
                                                          out, unless there is --data
    --validation SPEC                                     validated on that instead
    --animated-windows N   the stills among all these, moved as the faces of the videos move

Pictures are cut to patches as they are read, so memory holds patches only.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from models.landmarks.card import LandmarkCard
from models.landmarks.datasets.labelled_face import LabelledFace, leaving_out_broken
from models.landmarks.datasets.labelled_video import LabelledSet
from models.landmarks.datasets.sets import read_evaluation_set, read_training_sets
from models.landmarks.evaluation.face_errors import FaceErrors
from models.landmarks.evaluation.measurement import jittered_boxes, measure_faces
from models.landmarks.landmark_model import LandmarkModel
from models.landmarks.model import load_landmark_model
from models.landmarks.training.augmentation import cut_patch
from models.landmarks.training.label_convention import convention_offsets, moved_to_convention
from models.landmarks.training.labelled_windows import hold_out, windows_of_video
from models.synthesis.animated_faces import animated_windows, can_be_animated, expressive_stills
from pipeline.data.data_settings import TrainingSources
from pipeline.data.labelled_sets import read_labelled_sets
from pipeline.reports.training_log import ERROR_SUFFIX
from schemas.errors import UsageError
from schemas.landmarks import COMMON_LANDMARKS

_DATA_LICENCE = "research use only, like the data of 300-W and the labels of the videos"
#: Of all samples, how many are stills with other expressions, where there are some.
_EXPRESSIVE_SHARE = 0.16


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class TrainingData:
    """What networks are trained on and chosen by.

    faces: patches, the last frame of its window each, with those before it.
    weights: how often each is drawn, in proportion.
    validation: patches.
    validated_on: what those are, as the column of a log.
    licence: what the data allows, for the card.
    skipped: what was left out because it is broken.
    """

    faces: list[LabelledFace]
    weights: list[float]
    validation: list[LabelledFace]
    validated_on: str
    licence: str
    skipped: list[str]

    def validation_errors(self, model: LandmarkModel) -> FaceErrors:
        """Errors on boxes that scatter as the detector's do."""
        return measure_faces(model, self.validation, jittered_boxes(draws=1, seed=0))

    def validation_error(self, model: LandmarkModel) -> float:
        """Mean NRMSE in percent, of 7 landmarks where some labels have no others."""
        errors = self.validation_errors(model)
        percent = errors.percent("interocular")
        if np.isnan(percent).any():
            percent = errors.percent("interocular", len(COMMON_LANDMARKS))
        return float(percent.mean())


def read_training_data(sources: TrainingSources, cards: Collection[LandmarkCard]) -> TrainingData:
    """Patches that hold enough pixels, and earlier frames, for the most demanding network.

    Raises UsageError: an option is invalid, a data set is missing, or an annotation is broken.
    """
    skipped: list[str] | None = [] if sources.skip_broken else None
    reader = _Reader(
        crop_size_px=max(card.crop_size_px for card in cards),
        frames=max(card.build_network().frames_seen for card in cards),
        windows_per_video=sources.windows_per_video or None,
        skipped=skipped,
    )
    sets = read_labelled_sets(sources.set, split="train", skipped=skipped)
    names = [data.name for data in sets]
    held = read_labelled_sets(sources.validation, split="validation", skipped=skipped)
    if both := _places(sources.set, sets) & _places(sources.validation, held):
        raise UsageError(f"--validation: got {min(both)}, which is trained on (--set)")
    if held:
        validated_on = _column(data.name for data in held)
    elif sources.data is None:
        sets, held = hold_out(sets, sources.validation_share, seed=sources.seed)
        validated_on = _column([*names, "held out"])
    else:
        held = [LabelledSet("ytf68/val", stills=read_evaluation_set(sources.data, "ytf68/val"))]
        validated_on = _column(["ytf68/val"])
    faces, weights = reader.own_sets(sources.data, sources.data_sets) if sources.data else ([], [])
    found = reader.read(sets, "labelled windows")
    each = 1 / len(faces) if faces else 1.0  # as much as the mean face of --data
    expressive = reader.expressive([*faces, *found], sources.expressive_stills, seed=sources.seed)
    found += reader.animated([*faces, *found], sources.animated_windows, seed=sources.seed)
    validation = reader.read(held, "validation")
    if sources.convention is not None:
        faces, validation = _in_one_convention(sources.convention, faces, validation)
        validated_on = _column(["ytf68/val", "moved"])
    if not (faces or found) or not validation:
        raise UsageError(
            f"got {len(faces) + len(found)} windows to train on and {len(validation)} to validate "
            f"on, of {reader.frames} frames each, expected some of both"
        )
    weights += [each] * len(found)
    rare = _EXPRESSIVE_SHARE / (1 - _EXPRESSIVE_SHARE) * sum(weights)
    return TrainingData(
        faces + found + expressive,
        weights + [rare / len(expressive) for _ in expressive],
        validation,
        validated_on,
        _DATA_LICENCE if sources.data else f"as the data allows: {', '.join(names)}",
        list(dict.fromkeys(skipped or [])),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Reader:
    """Cuts labelled faces to patches.

    frames: of a window.
    windows_per_video: of a face, at most; None: all.
    tracks_px: (frames, 68, 2) landmarks of every whole window that was read.
    """

    crop_size_px: int
    frames: int
    windows_per_video: int | None
    skipped: list[str] | None
    tracks_px: list[npt.NDArray[np.float32]] = dataclasses.field(default_factory=list)

    def own_sets(
        self, data: Path, names: Collection[str]
    ) -> tuple[list[LabelledFace], list[float]]:
        """The training sets of a data folder, and how much is drawn of each face; 1 in all."""
        faces: list[LabelledFace] = []
        weights: list[float] = []
        sets = read_training_sets(data, names, earlier_frames=self.frames - 1, skipped=self.skipped)
        for _, share, found in tqdm(sets, "labelled faces", unit="set"):
            patches = self._patches(found)
            faces.extend(patches)
            weights.extend(share / len(patches) for _ in patches)
        return faces, weights

    def read(self, sets: Sequence[LabelledSet], shown: str) -> list[LabelledFace]:
        """The windows of all videos and all stills, as patches."""
        return self._patches(tqdm(self._windows(sets), shown, unit="window", disable=not sets))

    def animated(
        self, faces: Sequence[LabelledFace], count: int, *, seed: int
    ) -> list[LabelledFace]:
        """Windows of the stills among the faces, moved as what was read so far."""
        stills = [face for face in faces if not face.earlier and can_be_animated(face)]
        if count and (self.frames == 1 or not stills):
            why = "networks that see one frame" if stills else "no still of a frontal face"
            raise UsageError(f"--animated-windows: got {count} with {why}, expected 0")
        windows = animated_windows(
            stills,
            self.tracks_px,
            count=count,
            frames=self.frames,
            crop_size_px=self.crop_size_px,
            seed=seed,
        )
        return list(tqdm(windows, "animated stills", total=count, unit="window", disable=not count))

    def expressive(
        self, faces: Sequence[LabelledFace], count: int, *, seed: int
    ) -> list[LabelledFace]:
        """The stills among the faces, with other expressions."""
        stills = [face for face in faces if not face.earlier and can_be_animated(face)]
        if count and (self.frames > 1 or not stills):
            why = "no still of a frontal face" if self.frames == 1 else "networks that see motion"
            raise UsageError(f"--expressive-stills: got {count} with {why}, expected 0")
        made = expressive_stills(stills, count=count, crop_size_px=self.crop_size_px, seed=seed)
        return list(tqdm(made, "expressive stills", total=count, unit="still", disable=not count))

    def _patches(self, faces: Iterable[LabelledFace]) -> list[LabelledFace]:
        patches = []
        for face in faces:
            with leaving_out_broken(self.skipped):
                patches.append(cut_patch(face, crop_size_px=self.crop_size_px))
                track = np.stack([frame.landmarks_px for frame in (*face.earlier, face)])
                if len(track) == self.frames > 1 and np.isfinite(track).all():
                    self.tracks_px.append(track)
        return patches

    def _windows(self, sets: Sequence[LabelledSet]) -> Iterator[LabelledFace]:
        for data in sets:
            yield from data.stills
            for video in data.videos:
                yield from windows_of_video(
                    video, frames=self.frames, at_most=self.windows_per_video, skipped=self.skipped
                )


def _in_one_convention(
    weights: Path, faces: Sequence[LabelledFace], validation: Sequence[LabelledFace]
) -> tuple[list[LabelledFace], list[LabelledFace]]:
    """Both, with those of ytf68 moved by offsets that the training faces alone give."""
    ours = [face for face in faces if _of_ytf68(face)]
    if not ours:
        raise UsageError("--convention: got no face of ytf68 to train on, expected some to move")
    offsets = convention_offsets(load_landmark_model(weights), ours)

    def moved(patches: Sequence[LabelledFace]) -> list[LabelledFace]:
        return [moved_to_convention(f, offsets) if _of_ytf68(f) else f for f in patches]

    return moved(faces), moved(validation)


def _of_ytf68(face: LabelledFace) -> bool:
    return face.origin.data_set.startswith("ytf68/")


def _places(specs: Sequence[str], sets: Sequence[LabelledSet]) -> set[str]:
    """Names with splits, and paths."""
    return {f"{data.name}:{spec.partition(':')[2]}" for spec, data in zip(specs, sets, strict=True)}


def _column(names: Iterable[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "_", " ".join(names).lower()).strip("_") + ERROR_SUFFIX
