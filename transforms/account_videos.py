"""AccountVideos: every input has a status row in OUTPUT, or the run fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import apache_beam as beam

from schemas.errors import AccountingError
from schemas.records import Video, VideoFailure
from transforms.calls_in_parallel import OutputCalls
from transforms.storage.run_output import RunOutput

_Inputs: TypeAlias = tuple[beam.PCollection[Video], beam.PCollection[VideoFailure]]


def account_video(video: Video, run_output: RunOutput) -> dict[str, Any]:
    """The status row of a video, read from OUTPUT.

    Raises AccountingError if there is none.
    """
    status = run_output.read_status(video)
    if status is None:
        raise AccountingError(f"{video.uri}: got no status row, expected one for every input")
    return status[0]


@dataclass
class AccountVideos(beam.PTransform):  # type: ignore[misc]
    """Inputs and finished video_ids become status rows: one per input."""

    run_output: RunOutput

    def expand(
        self, inputs: tuple[_Inputs, beam.PCollection[Video], beam.PCollection[str]]
    ) -> beam.PCollection[dict[str, Any]]:
        """Joins inputs, selected videos and finished video_ids by video_id; reads the rows back."""
        (videos, failures), selected, ended = inputs
        return (
            {
                "videos": videos | "VideoById" >> beam.Map(_by_id).with_output_types(_Keyed),
                "failures": failures
                | "FailureById"
                >> beam.Map(lambda failure: _by_id(failure.video)).with_output_types(_Keyed),
                "selected": selected | "SelectedById" >> beam.Map(_by_id).with_output_types(_Keyed),
                "ended": ended
                | "EndById" >> beam.Map(lambda ended: (ended, None)).with_output_types(_Ended),
            }
            | "Join" >> beam.CoGroupByKey()
            | "ReadRows" >> beam.ParDo(_ReadFn(self.run_output))
        )


_Keyed: TypeAlias = tuple[str, Video]
_Ended: TypeAlias = tuple[str, None]


def _by_id(video: Video) -> _Keyed:
    return video.video_id, video


class _ReadFn(OutputCalls):
    def process(self, keyed: tuple[str, dict[str, Iterable[Any]]]) -> Iterator[Any]:
        # The joined iterables may be lazy and belong to the runner's thread: they are read here.
        yield from super().process((keyed[0], {k: list(v) for k, v in keyed[1].items()}))

    def call(self, keyed: tuple[str, dict[str, list[Any]]]) -> list[dict[str, Any]]:
        """The rows of an id, read after the join: by then everything with this id has finished."""
        video_id, joined = keyed
        inputs = [*joined["videos"], *joined["failures"]]
        if not inputs:
            raise AccountingError(f"{video_id}: got a finished video that is not among the inputs")
        if not joined["ended"]:
            # On an object store another run may have finished the same work, and removed its parts.
            selected = joined["selected"]
            if not selected or not all(map(self._run_output.is_finished, selected)):
                raise AccountingError(
                    f"{inputs[0].uri}: never finished; expected a status row for every input"
                )
        return [account_video(video, self._run_output) for video in inputs]

    def results(self, outcome: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return outcome
