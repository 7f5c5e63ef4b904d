"""SelectVideos: splits videos into those to annotate, those done, and unreadable ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from schemas.errors import SourceError, VideoError
from schemas.records import Video, VideoFailure
from transforms.calls_in_parallel import OutputCalls
from transforms.progress_board import BOARD
from transforms.run_metrics import count
from transforms.storage.run_output import RunOutput
from transforms.storage.source_files import fingerprint, look_up, version_keys


def inspect_video(video: Video) -> Video:
    """The video with the fingerprint of its bytes, and of those of its boxes.

    Raises SourceError if the video cannot be read.
    """
    identity = _identity(video.uri)
    if video.boxes_uri is not None:
        try:
            identity += f"; boxes {_identity(video.boxes_uri)}"
        except SourceError:  # reading the boxes reports the error
            identity += f"; boxes at {video.boxes_uri}"
    return replace(video, fingerprint=identity)


def _identity(uri: str) -> str:
    """Identifies the bytes at a URI; by the URI where the source has no version."""
    _, _, info = look_up(uri)
    return fingerprint(info) if version_keys(info) else f"{fingerprint(info)} at {uri}"


class _InspectFn(OutputCalls):
    """Looks videos up; emits those that can be read and are not done."""

    def __init__(self, run_output: RunOutput, overwrite: bool, retry: frozenset[str]) -> None:
        super().__init__(run_output)
        self._retry = retry
        self._overwrite = overwrite

    def is_remote(self, video: Video) -> bool:
        uris = video.uri, video.boxes_uri or ""
        return super().is_remote(video) or any("://" in uri for uri in uris)

    def call(self, video: Video) -> Any:
        """The video with its fingerprint, or the output that says why it is not annotated."""
        try:
            inspected = inspect_video(video)
        except VideoError as error:
            # Finished work outlives its source.
            if not self._overwrite and self._run_output.has_tracks(video):
                return TaggedOutput("done", video.video_id)
            return TaggedOutput("failed", VideoFailure(video, error.reason, str(error)))
        if self._overwrite:
            self._run_output.forget(inspected)
        elif self._run_output.is_done(inspected, self._retry):
            return TaggedOutput("done", video.video_id)
        return inspected

    def results(self, outcome: Any) -> list[Any]:
        if isinstance(outcome, TaggedOutput):
            BOARD.video_ended()
            if outcome.tag == "done":
                count("videos_done_before")
        return [outcome]


@dataclass
class SelectVideos(beam.PTransform):  # type: ignore[misc]
    """Videos become the videos to annotate (main output), the video_ids that are done already
    (`done`), and VideoFailures (`failed`).
    """

    run_output: RunOutput
    overwrite: bool = False
    retry: frozenset[str] = frozenset()

    def expand(self, videos: beam.PCollection[Video]) -> Any:
        """Spreads the videos over the workers and looks each up."""
        return (
            videos
            | "Spread" >> beam.Reshuffle()
            | "Inspect"
            >> beam.ParDo(_InspectFn(self.run_output, self.overwrite, self.retry)).with_outputs(
                "failed", "done", main="videos"
            )
        )
