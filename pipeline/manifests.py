"""Manifests: tables that list videos, a row a video, read as a stream.

`uri` is required (relative ones start at the manifest's folder), `video_id`, `start_seconds`,
`stop_seconds` and `boxes` are optional; a range counts from the video's first timestamp. CSV,
JSONL (both UTF-8) and Parquet.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import logging
import math
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, TypeAlias

import apache_beam as beam
import numpy as np
import pyarrow as pa

from pipeline.found_videos import TextDigests
from schemas.choices import MANIFEST_SUFFIXES
from schemas.errors import ManifestError
from schemas.records import Video
from transforms.storage.source_files import resolve
from transforms.storage.table_reading import check_utf8, open_parquet

_LOGGER = logging.getLogger(__name__)

_COLUMNS: Final = ("uri", "video_id", "start_seconds", "stop_seconds", "boxes")
_SHOWN: Final = 40
_BATCH_ROWS: Final = 4096
_MAX_FIELD_CHARACTERS: Final = 2**31 - 1

_Row: TypeAlias = Mapping[str, Any]


def is_manifest(text: str) -> bool:
    """Whether an input is a manifest, by the end of its name."""
    return text.lower().endswith(MANIFEST_SUFFIXES)


def read_manifest(url: str) -> Iterator[Video]:
    """Reads a manifest as a stream, a Video a row.

    Raises ManifestError naming the file, the row and the column, also where two rows give
    one video_id.
    """
    ids = TextDigests()
    for number, row in _all_rows(url):
        if not _missing(row.get("video_id")):
            ids.add(str(row["video_id"]))
        yield _manifest_video(url, number, row)
    if len(again := np.flatnonzero(~ids.first())):
        given = (place for place in _all_rows(url) if not _missing(place[1].get("video_id")))
        number, row = next(islice(given, int(again[0]), None))
        raise ManifestError(f"{url}: row {number}: video_id {row['video_id']!r} is used twice")


def _all_rows(url: str) -> Iterator[tuple[int, _Row]]:
    return chain.from_iterable(map(_numbered_rows, _parts(url)))


@dataclass
class ReadManifests(beam.PTransform):  # type: ignore[misc]
    """URLs of manifests become Videos; the rows are read by workers, Parquet in parallel.

        rows = (
            pipeline
            | beam.Create(["s3://bucket/corpus.parquet"])
            | ReadManifests()
            | AnnotateVideos("s3://bucket/tracks")
        )

    A manifest is a .csv, .jsonl (both UTF-8) or .parquet with `uri` and, if wanted, `video_id`,
    `start_seconds`, `stop_seconds` and `boxes`; relative uris start at the manifest's folder.

    Raises:
        ManifestError: when it runs: a manifest that cannot be read, or a value that cannot be
            used, with the file, the row and the column.
    """

    def expand(self, urls: beam.PCollection[str]) -> beam.PCollection[Video]:
        """Finds the row groups of Parquet files, spreads them, reads each."""
        return (
            urls
            | "Parts" >> beam.FlatMap(_parts)
            | "SpreadParts" >> beam.Reshuffle()
            | "ReadPart" >> beam.FlatMap(_read_part).with_output_types(Video)
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """A row group of a Parquet manifest, or the whole of another; its first row's number."""

    url: str
    row_group: int | None = None
    first_row: int = 1


def _parts(url: str) -> list[_Part]:
    if not url.lower().endswith(".parquet"):
        return [_Part(url)]
    with _opened(url) as file:
        parquet = open_parquet(file)
        _check_columns(url, parquet.schema_arrow.names)
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
    return [_Part(url, i, 1 + sum(groups[:i])) for i in range(len(groups))]


def _read_part(part: _Part) -> Iterator[Video]:
    for number, row in _numbered_rows(part):
        yield _manifest_video(part.url, number, row)


def _numbered_rows(part: _Part) -> Iterator[tuple[int, _Row]]:
    with _opened(part.url) as file:
        if part.row_group is not None:
            rows: Iterable[_Row] = _parquet_rows(file, part.row_group)
        elif part.url.lower().endswith(".csv"):
            rows = _csv_rows(part.url, _lines(part.url, file))
        else:
            rows = _json_rows(part.url, _lines(part.url, file))
        yield from enumerate(rows, start=part.first_row)


@contextlib.contextmanager
def _opened(url: str) -> Iterator[Any]:
    """An open manifest; what cannot be read becomes a ManifestError."""
    try:
        fs, path = resolve(url)
        with fs.open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise ManifestError(f"{url}: no such manifest") from error
    except (OSError, ValueError, OverflowError, pa.ArrowException, csv.Error) as error:
        raise ManifestError(f"{url}: cannot be read as a manifest: {error}") from error


def _lines(url: str, file: Any) -> Iterator[str]:
    """The lines of a UTF-8 file, which end with a line feed and nothing else (not U+2028, say)."""
    for number, line in enumerate(file):
        if number == 0:
            check_utf8(line)
        yield line.removeprefix(codecs.BOM_UTF8 if number == 0 else b"").decode()


def _parquet_rows(file: Any, row_group: int) -> Iterator[_Row]:
    parquet = open_parquet(file)
    columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(_BATCH_ROWS, [row_group], columns, use_threads=False):
        yield from batch.to_pylist()


def _csv_rows(url: str, text: Iterator[str]) -> Iterator[_Row]:
    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    lines = csv.reader(text, strict=True)
    names = next(lines, None)
    if names is None:
        raise ValueError("it is empty")
    _check_columns(url, names)
    for fields in filter(None, lines):
        if len(fields) != len(names):
            raise ValueError(
                f"line {lines.line_num}: got {len(fields)} fields, expected {len(names)}"
            )
        yield dict(zip(names, fields, strict=True))


def _json_rows(url: str, text: Iterator[str]) -> Iterator[_Row]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # the second: lists in lists in lists
            raise ManifestError(f"{url}: line {number} is not JSON: {error}") from error
        if not isinstance(row, dict):
            shown = line[:_SHOWN].strip()
            raise ManifestError(f"{url}: line {number}: got {shown}, expected an object")
        if number == 1:
            _warn_of_others(url, row)
        yield row


def _check_columns(url: str, names: Sequence[str]) -> None:
    if "uri" not in names:
        got, expected = ", ".join(sorted(names)) or "none", ", ".join(_COLUMNS)
        raise ManifestError(f"{url}: no column uri; got {got}; expected {expected} (uri at least)")
    if twice := [name for name in _COLUMNS if names.count(name) > 1]:
        raise ManifestError(f"{url}: got several columns {', '.join(twice)}, expected one of each")
    _warn_of_others(url, names)


def _warn_of_others(url: str, names: Iterable[str]) -> None:
    if others := sorted(set(names) - set(_COLUMNS)):
        _LOGGER.warning("%s: columns not used: %s", url, ", ".join(others))


def _manifest_video(url: str, number: int, row: _Row) -> Video:
    return video_of_row(row, f"{url}: row {number}", posixpath.dirname(url))


def video_of_row(row: _Row, where: str, folder: str = "") -> Video:
    """The Video of a row with `uri` and what else manifests have; relative uris start at `folder`.

    Raises ManifestError for a value that cannot be used; the message begins with `where`.
    """
    uri = row.get("uri")
    if not isinstance(uri, str) or not uri.strip():
        raise ManifestError(f"{where}: uri is {uri!r}, expected a path or URL")
    start, stop = (_seconds(where, row, column) for column in ("start_seconds", "stop_seconds"))
    if stop is not None and stop <= (start or 0.0):
        raise ManifestError(
            f"{where}: stop_seconds {stop:g} is not after start_seconds {start or 0:g}"
        )
    given, boxes = row.get("video_id"), row.get("boxes")
    name = posixpath.basename(uri.partition("?")[0]) if _missing(given) else str(given)
    boxes_uri = None if _missing(boxes) else _below(folder, str(boxes))
    return Video(printable_id(name), _below(folder, uri), start, stop, boxes_uri)


def printable_id(name: str) -> str:
    """The name with bytes that are no UTF-8 escaped: tables and terminals need text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _seconds(where: str, row: _Row, column: str) -> float | None:
    value = row.get(column)
    if _missing(value):
        return None
    if not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            value = float(value)  # type: ignore[arg-type]
    if not isinstance(value, float) or not math.isfinite(value) or value < 0:
        raise ManifestError(f"{where}: {column} is {value!r}, expected seconds >= 0")
    return value


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _below(folder: str, uri: str) -> str:
    return uri if "://" in uri or posixpath.isabs(uri) else posixpath.join(folder, uri)
