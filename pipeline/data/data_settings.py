"""The settings that say what to train, fit and evaluate on: options of commands, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schemas.choices import TRAINING_SETS
from schemas.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSources:
    """What `train landmarks` trains on.

    Attributes:
        data: folder with faces68, pseudo68, videos and ytf68; validated on its ytf68/val.
        set: data sets in their published layouts, KIND[/SPLIT]:PATH each.
        validation: validate on this data set; repeatable; SPLIT defaults to validation (default:
            ytf68/val of --data, else what --validation-share holds out).
        validation_share: share of the videos and pictures of each --set that is held out for
            validation, drawn by --seed.
        windows_per_video: use about this many windows per face and video of each --set, evenly
            spaced; 0: all, as in the papers; they are kept in memory.
        animated_windows: add this many windows of animated stills, for networks that see several
            frames: each takes about 0.3 s to render at the start, and 0.4 MB for crops of 64 px.
        expressive_stills: add this many stills whose eyes and mouths are opened and closed, for
            networks that see one frame: each takes about 0.3 s to render at the start; 16 % of the
            samples are drawn from them.
        data_sets: train on these sets of `data` only.
        convention: shift the labels of ytf68 in --data by their median offset from the predictions
            of these weights, in the frame of the eyes, so that all training sets follow one
            convention.
        skip_broken: skip and count broken annotations.
        seed: seed of every random choice.
    """

    data: Path | None = None
    set: Sequence[str] = field(default_factory=list)
    validation: Sequence[str] = field(default_factory=list)
    validation_share: float = 0.2
    windows_per_video: int = 80
    animated_windows: int = 0
    expressive_stills: int = 0
    data_sets: Sequence[str] = TRAINING_SETS
    convention: Path | None = None
    skip_broken: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """Which tracks `train stabilizer` fits on and `evaluate stabilizers` measures.

    Attributes:
        data: labelled sets (images68, pseudo68, videos); without it, the animated astronaut only.
        cache: keep the animated clips here (5 s each to make).
        weights: landmark weights (default: the package's).
        tracks: number of tracks.
        frames: frames per track.
        clips: animated clips (default: 14 to fit, 12 held out, 9 to test).
        seed: seed of every random choice.
        threads: CPU threads.

    Raises:
        UsageError: fewer than 3 frames.
    """

    data: Path | None = None
    cache: Path | None = None
    weights: Path | None = None
    tracks: int = 50
    frames: int = 300
    clips: int | None = None
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        if self.frames < 3:
            raise UsageError(f"--frames: got {self.frames}, expected 3 or more")
