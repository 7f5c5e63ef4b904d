"""AnnotateVideos: the whole job as a step of any Beam pipeline."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import StandardOptions

from models.detection.face_detector import load_face_detector
from models.landmarks.model import load_landmark_model
from pipeline.graph import AnnotateGraph, GraphSettings
from pipeline.inputs import DistinctVideos
from pipeline.provenance import (
    check_licences,
    check_same_config,
    describe_run,
    tracks_config,
    weight_licences,
)
from pipeline.runner_options import runs_here, worker_threads
from pipeline.settings import AnnotateSettings
from schemas.errors import UsageError, WeightsError
from schemas.records import Video
from transforms.align_faces import AlignSettings
from transforms.decoding.child import ChildSettings
from transforms.decoding.piece_builder import CropSpec
from transforms.storage.run_output import RunOutput


@dataclass
class AnnotateVideos(beam.PTransform):  # type: ignore[misc]
    """Videos or uris become landmark tracks in OUTPUT; gives their status rows.

        rows = (
            pipeline
            | beam.Create(["s3://bucket/a.mp4", "s3://bucket/b.mp4"])
            | AnnotateVideos("s3://bucket/tracks")
        )

    The input is a bounded PCollection, in the global window, of `Video`, str or Path. Equal
    inputs are one; where different ones share an id, each gets a hash. The output is one dict
    an input with the columns of the videos table, as OUTPUT holds it then; what an earlier run
    finished is not done again. run.json is written by `annotate` only.

    Attributes:
        output: a path or fsspec URL that all workers reach.
        settings: `workers` and `limit` do nothing here, they are the pipeline's own business.

    Raises:
        UsageError: when the pipeline is built: weights that cannot be used, or may not be by
            `settings.require_licence`; an `output` of another configuration without
            `settings.overwrite`.
    """

    output: str | Path
    settings: AnnotateSettings = field(default_factory=AnnotateSettings)

    def expand(self, videos: beam.PCollection[Video | str | Path]) -> beam.PCollection[Any]:
        """Loads the weights once to learn their digests, and builds the graph."""
        options = videos.pipeline.options
        runner = str(options.view_as(StandardOptions).runner or "unnamed").rpartition(".")[2]
        threads = worker_threads(options, runner)
        stages = stage_settings(str(self.output), self.settings, runner, threads)
        if not self.settings.overwrite:
            check_same_config(stages.run_output.output, stages.run_output.config)
        distinct = videos | "DistinctVideos" >> DistinctVideos(self.settings.allow_protocols)
        return (distinct.videos, distinct.refused) | "Annotate" >> AnnotateGraph(stages)


def decoder_settings(settings: AnnotateSettings) -> ChildSettings:
    """The settings of a child that only decodes."""
    return ChildSettings(
        segment_seconds=settings.segment_seconds,
        stall_seconds=settings.stall_seconds,
        max_slowness=settings.max_slowness,
        memory_mb=settings.max_memory_mb,
        max_pixels=settings.max_pixels,
        stream=settings.stream,
    )


def stage_settings(
    output: str, settings: AnnotateSettings, runner: str, threads: int = 0
) -> GraphSettings:
    """The settings of each stage.

    Raises UsageError: weights that cannot be loaded, or whose licence the settings refuse.
    """
    try:
        model = load_landmark_model(settings.weights, "cpu", precision=settings.precision)
        detector = load_face_detector(settings.detector)
    except WeightsError as error:
        raise UsageError(str(error)) from error
    licences = weight_licences(model, detector, settings.stabilizer)
    check_licences(licences, settings.require_licence)
    card = model.card
    config = tracks_config(model, detector, settings)
    child = replace(
        decoder_settings(settings),
        crop=CropSpec(card.crop_size_px, card.crop_scale, card.window_frames),
        detector=settings.detector,
        detector_sha256=detector.weights_sha256,
    )
    cores_a_worker = max(1, (os.cpu_count() or 1) // settings.workers)
    align = AlignSettings(
        settings.weights,
        device=settings.device,
        batch_windows=settings.batch_windows,
        threads=cores_a_worker if runs_here(runner) else None,
        precision=settings.precision,
        compiled=settings.compile,
        weights_sha256=model.weights_sha256,
        # A stabilizer looks at the frames in between.
        fps=settings.frame_rate if settings.stabilizer == "none" else None,
    )
    return GraphSettings(
        RunOutput(output, config, describe_run(runner, licences), settings.track_format),
        child,
        align,
        settings,
        threads,
    )
