"""AnnotateRows: the whole job for Beam's rows, as Beam YAML and Beam SQL have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam import typehints
from apache_beam.typehints.row_type import RowTypeConstraint

from pipeline.annotate_videos import AnnotateVideos
from pipeline.manifests import video_of_row
from pipeline.settings import AnnotateSettings
from schemas.errors import UsageError
from schemas.records import Video
from schemas.videos import VIDEO_SCHEMA

_TYPES: Final[Mapping[pa.DataType, Any]] = {
    pa.string(): str,
    pa.bool_(): bool,
    pa.int32(): int,
    pa.int64(): int,
    pa.float64(): float,
}


class AnnotateRows(beam.PTransform):  # type: ignore[misc]
    """Rows that list videos become landmark tracks in OUTPUT; gives the rows of the videos table.

        rows = pipeline | beam.Create([beam.Row(uri="a.mp4")]) | AnnotateRows("OUT", fps=5)

    A row has `uri` and, if wanted, `video_id`, `start_seconds`, `stop_seconds` and `boxes`, as in
    a manifest; other fields are not used. In a Beam YAML pipeline this is a transform of a
    `python` provider; docs/clusters.md has an example.

    Args:
        output: a path or fsspec URL that all workers reach.
        settings: fields of AnnotateSettings, by name.

    Raises:
        UsageError: when the pipeline is built: settings or weights that cannot be used.
        ManifestError: when it runs: a row without a `uri`, or with a value that cannot be used.
    """

    def __init__(self, output: str, **settings: Any) -> None:
        super().__init__()
        self._output = output
        try:
            self._settings = AnnotateSettings(**settings)
        except TypeError as error:
            known = ", ".join(AnnotateSettings.__dataclass_fields__)
            raise UsageError(f"AnnotateRows: {error}; expected some of {known}") from error

    def expand(self, rows: beam.PCollection[Any]) -> beam.PCollection[Any]:
        """Rows to Videos, the job, and its dicts to rows with a schema."""
        return (
            rows
            | "Videos" >> beam.Map(_video).with_output_types(Video)
            | "Annotate" >> AnnotateVideos(self._output, self._settings)
            | "Rows" >> beam.Map(_row).with_output_types(_row_type())
        )


def _video(row: Any) -> Video:
    return video_of_row(row._asdict(), f"{row}")


def _row(status: Mapping[str, Any]) -> beam.Row:
    return beam.Row(**{name: status[name] for name in VIDEO_SCHEMA.names})


def _row_type() -> RowTypeConstraint:
    types = [(f.name, _TYPES.get(f.type, Sequence[Sequence[int]])) for f in VIDEO_SCHEMA]
    optional = {field.name for field in VIDEO_SCHEMA if field.nullable}
    return RowTypeConstraint.from_fields(
        [(name, typehints.Optional[kind] if name in optional else kind) for name, kind in types]
    )
