"""The formats that tracks are exported to, and the export of a whole output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tqdm import tqdm

from pipeline.exports.coco_json import coco_json
from pipeline.exports.cvat_xml import cvat_xml
from pipeline.exports.exported_video import ExportedVideo, exported_videos
from pipeline.exports.fiftyone_labels import write_fiftyone_labels
from pipeline.exports.huggingface_dataset import write_huggingface_dataset
from pipeline.exports.openface_csv import openface_csv
from pipeline.exports.point_files import npz, write_pts
from pipeline.exports.pyfeat_csv import pyfeat_csv
from pipeline.exports.rerun_recording import write_rerun_recording
from pipeline.exports.webdataset_shards import write_webdataset
from schemas.errors import UsageError
from transforms.storage.atomic_files import Folder, write_bytes

_Export = Callable[[Iterable[ExportedVideo], Folder], int]


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export wrote.

    Attributes:
        videos: videos that have tracks.
        rows: rows of their tracks.
        files: files that were written.
    """

    videos: int
    rows: int
    files: int


def _each(write: Callable[[ExportedVideo, Folder], int]) -> _Export:
    """The export of a format that writes every video by itself."""
    return lambda videos, to: sum(write(video, to) for video in videos)


def _file_each(suffix: str, content: Callable[[ExportedVideo], bytes]) -> _Export:
    """The export of a format that has a file a video."""

    def write(video: ExportedVideo, to: Folder) -> int:
        write_bytes(str(to / f"{video.stem}{suffix}"), content(video))
        return 1

    return _each(write)


#: By the names of `schemas.choices.EXPORT_FORMATS`.
FORMATS: Final[dict[str, _Export]] = {
    "openface": _file_each(".csv", openface_csv),
    "py-feat": _file_each(".csv", pyfeat_csv),
    "coco": _file_each(".json", coco_json),
    "cvat": _file_each(".xml", cvat_xml),
    "fiftyone": write_fiftyone_labels,
    "pts": _each(write_pts),
    "npz": _file_each(".npz", npz),
    "rerun": _each(write_rerun_recording),
    "webdataset": write_webdataset,
    "huggingface": write_huggingface_dataset,
}


def export_tracks(
    output: str,
    to: str,
    format: str,  # noqa: A002
    *,
    video_ids: Collection[str] | None = None,
    raw: bool = False,
    progress: bool = False,
) -> ExportSummary:
    """Writes the tracks of an output in the format of another tool.

        export_tracks("OUT", "OUT-cvat", "cvat")

    Holds the tracks of one video at a time. Every file is written whole or not at all, and named by
    a video_id, cleaned as track files' names are. How frames, times and pixels are counted is what
    the tool expects: docs/exports.md.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        to: the folder to write, a path or any fsspec URL.
        format: openface, py-feat, coco, cvat, fiftyone, pts, npz, rerun, webdataset or huggingface.
        video_ids: only these videos; None is all that have tracks.
        raw: the network's landmarks instead of the stabilized ones.
        progress: whether a bar on stderr counts the videos.

    Raises:
        UsageError: an unknown format, or a video that has no tracks.
        OutputError: there is no output, a table cannot be read, or a file cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"format: got {format!r}, expected one of {', '.join(FORMATS)}")
    videos = rows = 0

    def counted() -> Iterator[ExportedVideo]:
        nonlocal videos, rows
        found = exported_videos(output, video_ids, raw=raw)
        for video in tqdm(found, "videos", unit="video", disable=not progress):
            videos, rows = videos + 1, rows + len(video)
            yield video

    files = FORMATS[format](counted(), Folder(to))
    return ExportSummary(videos, rows, files)
