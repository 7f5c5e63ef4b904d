"""The formats that tracks are exported to, and the export of a whole output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tqdm import tqdm

from pipeline.exports.coco_json import write_coco_json
from pipeline.exports.cvat_xml import write_cvat_xml
from pipeline.exports.exported_video import ExportedVideo, exported_videos
from pipeline.exports.fiftyone_labels import write_fiftyone_labels
from pipeline.exports.huggingface_dataset import write_huggingface_dataset
from pipeline.exports.openface_csv import write_openface_csv
from pipeline.exports.point_files import write_npz, write_pts
from pipeline.exports.pyfeat_csv import write_pyfeat_csv
from pipeline.exports.rerun_recording import write_rerun_recording
from pipeline.exports.webdataset_shards import write_webdataset
from schemas.errors import UsageError
from transforms.storage.atomic_files import Folder

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

    def export(videos: Iterable[ExportedVideo], to: Folder) -> int:
        return sum(write(video, to) for video in videos)

    return export


#: By the names of `schemas.choices.EXPORT_FORMATS`.
FORMATS: Final[dict[str, _Export]] = {
    "openface": _each(write_openface_csv),
    "py-feat": _each(write_pyfeat_csv),
    "coco": _each(write_coco_json),
    "cvat": _each(write_cvat_xml),
    "fiftyone": write_fiftyone_labels,
    "pts": _each(write_pts),
    "npz": _each(write_npz),
    "rerun": _each(write_rerun_recording),
    "webdataset": write_webdataset,
    "huggingface": write_huggingface_dataset,
}


def export_tracks(
    output: str,
    to: str,
    tool: str,
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
        tool: openface, py-feat, coco, cvat, fiftyone, pts, npz, rerun, webdataset or huggingface.
        video_ids: only these videos; None is all that have tracks.
        raw: the network's landmarks instead of the stabilized ones.
        progress: whether a bar on stderr counts the videos.

    Raises:
        UsageError: an unknown format, no output there, or a video that has no tracks.
        OutputError: a table cannot be read, or a file not written.
    """
    if tool not in FORMATS:
        raise UsageError(f"format: got {tool!r}, expected one of {', '.join(FORMATS)}")
    videos = rows = 0

    def counted() -> Iterator[ExportedVideo]:
        nonlocal videos, rows
        found = exported_videos(output, video_ids, raw=raw)
        for video in tqdm(found, "videos", unit="video", disable=not progress):
            videos, rows = videos + 1, rows + len(video)
            yield video

    files = FORMATS[tool](counted(), Folder(to))
    return ExportSummary(videos, rows, files)
