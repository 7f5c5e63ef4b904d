"""Erasure: all that an output holds of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline.output_lock import exclusive_run
from pipeline.outputs.compact_output import rewrite_without
from schemas.errors import OutputError
from transforms.storage.output_tables import OutputFolder


@dataclass(frozen=True, slots=True)
class ForgottenVideo:
    """What was removed of a video.

    Attributes:
        video_id: as it was asked for.
        removed: files and folders, by their place below the output; empty where the output held
            nothing of that id. Compacted files are among them: what they held of other videos is
            in new ones.
        bytes: how many bytes they had.
    """

    video_id: str
    removed: tuple[str, ...]
    bytes: int


def forget(
    output: str | Path,
    video_ids: Iterable[str],
    *,
    on_progress: Callable[[ForgottenVideo], object] | None = None,
) -> list[ForgottenVideo]:
    """Removes videos from an output: status row, tracks, staged parts and what was derived.

        for video in forget("out", ["interview.mp4"]):
            print(video.video_id, video.removed)

    The videos themselves stay, and so does what was written elsewhere. report.html goes, too: it
    may show any of them. A removal that was stopped is finished by the same call.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        video_ids: as in the videos table.
        on_progress: called with each video when it is removed.

    Returns: what was removed of each, in the order of `video_ids`.

    Raises:
        OutputError: there is no output of annotate, or a run is writing there.
    """
    folder = OutputFolder(output)
    places = (folder.run_record, folder.videos, folder.tracks, folder.compacted.videos)
    if not any(place.exists() for place in places):
        raise OutputError(
            f"{output}: got no run.json, videos/ or tracks/ there, expected the output of annotate"
        )
    forgotten = []
    with exclusive_run(folder):
        for video_id in dict.fromkeys(video_ids):
            video = _forget_video(folder, video_id)
            forgotten.append(video)
            if on_progress is not None:
                on_progress(video)
    return forgotten


def _forget_video(folder: OutputFolder, video_id: str) -> ForgottenVideo:
    found = folder.files_of(video_id)
    compacted = folder.compacted.find(video_id) is not None
    if (found or compacted) and folder.report.exists():
        found.insert(0, folder.report)  # the video may be in it, and nothing else would tell later
    total = 0
    for file in found:
        total += file.size_bytes()
        file.remove()
    if compacted:
        rewritten = rewrite_without(folder, video_id)
        found += rewritten
        total += sum(rewritten.values())
    names = tuple(str(file)[len(folder.url) + 1 :] for file in found)
    return ForgottenVideo(video_id, names, total)
