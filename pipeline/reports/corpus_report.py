"""An output as one HTML page: what became of every input, how good the tracks look, how fast."""

from __future__ import annotations

import datetime
import heapq
import json
import math
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, TextIO

import numpy as np
from tqdm import tqdm

from pipeline.reports.histograms import Histogram
from pipeline.reports.report_page import TrackPicture, json_for_page, write_page
from pipeline.reports.report_pictures import PICTURE_CHILD, Shot, picture_uri
from pipeline.reports.timings import STAGES, raw_decode_seconds
from pipeline.reports.track_quality import READ_COLUMNS, Moment, RowFigures, VideoQuality
from transforms.decoding.child_pool import kept_children
from transforms.storage.atomic_files import atomic_file
from transforms.storage.output_tables import OutputFolder, in_parallel

_THUMBNAIL_PX: Final = 192
_TRACK_PX: Final = 240
_WORST_TRACKS: Final = 12
#: Shorter tracks have no worst frame worth a picture.
_FEWEST_ROWS: Final = 10
#: Videos that the raw decode is measured on, and the frames that they have at most.
_RAW_VIDEOS: Final = 4
_RAW_FRAMES: Final = 1500
_MAX_WORKERS: Final = 4
_WORST_NAMES: Final = {
    "jitter": "Tracks with the most jitter",
    "spread": "Tracks with the largest spread",
}


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What `report` wrote.

    Attributes:
        file: where the page is.
        inputs: how many inputs it has.
        thumbnails: how many of them have a picture.
        bytes: size of the page.
    """

    file: str
    inputs: int
    thumbnails: int
    bytes: int


@dataclass(slots=True)
class _Corpus:
    """What all rows of both tables add up to; none of it grows with the corpus."""

    most_thumbnails: int
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, Histogram] = field(default_factory=lambda: _histograms())
    inputs: int = 0
    shots: list[tuple[int, Shot]] = field(default_factory=list)
    every: int = 1  # of the videos with frames, which one gets a thumbnail
    videos: int = 0
    raw: list[str] = field(default_factory=list)
    worst: dict[str, list[tuple[float, int, int, str, Shot]]] = field(
        default_factory=lambda: {name: [] for name in _WORST_NAMES}
    )

    def add(self, row: dict[str, Any], quality: VideoQuality) -> None:
        """Takes the next input."""
        self.statuses[row["status"]] += 1
        if row["reason"]:
            self.reasons[row["reason"]] += 1
        for name in ("frames_decoded", "face_frames", "faces", "elapsed_seconds", *STAGES.values()):
            self.sums[name] += row[name] or 0
        self.sums["seconds"] += row["duration_seconds"] or 0
        if row["frames_decoded"] and self.most_thumbnails:
            self._take_shot(row, quality.shown)
            if row["frames_decoded"] <= _RAW_FRAMES and len(self.raw) < _RAW_VIDEOS:
                self.raw.append(row["uri"])
        for name in self.worst:
            self._rank(name, row, quality)
        self.inputs += 1

    def _take_shot(self, row: dict[str, Any], moment: Moment | None) -> None:
        """Keeps as many as wanted, spread over the corpus, of unknown length."""
        if self.videos % self.every == 0:
            shot = Shot(row["uri"], row["stream_index"], moment, _THUMBNAIL_PX)
            self.shots.append((self.inputs, shot))
            if len(self.shots) > self.most_thumbnails:
                self.shots, self.every = self.shots[::2], 2 * self.every
        self.videos += 1

    def _rank(self, name: str, row: dict[str, Any], quality: VideoQuality) -> None:
        """The video's worst face joins the worst of all, if it belongs to them."""
        faces = [
            face
            for face in quality.faces.values()
            if face.rows >= _FEWEST_ROWS and name in face.worst
        ]
        if not faces:
            return
        face = max(faces, key=lambda face: face.mean(name))
        shot = Shot(row["uri"], row["stream_index"], face.worst[name], _TRACK_PX, close=True)
        ranked = (face.mean(name), -self.inputs, face.face_id, row["video_id"], shot)
        self.worst[name] = heapq.nlargest(_WORST_TRACKS, [*self.worst[name], ranked])

    def count(self, figures: RowFigures) -> None:
        """Rows of tracks, for the histograms."""
        self.histograms["size"].add(figures.size_px)
        self.histograms["spread"].add(figures.spread_percent)
        for name, values in figures.scalars.items():
            self.histograms[name].add(values)


def report(
    output: str | Path,
    to: str | Path | None = None,
    *,
    thumbnails: int = 200,
    progress: bool = False,
) -> ReportSummary:
    """Writes one self-contained HTML file about an output; it opens offline.

        print(report("out").file)

    It has a row an input, failures by reason with what to do, histograms over all rows, the
    worst tracks as pictures, speeds and provenance. Pictures are of the videos as they are now;
    where one cannot be read any more there is none.

    Args:
        output: the output location of a run, a path or any fsspec URL.
        to: the file, a path or any fsspec URL; None is report.html in the output.
        thumbnails: inputs that get a picture, at most, spread over all; 0 reads no video for one.
        progress: whether bars on stderr show how far it is.

    Raises:
        OutputError: there is no videos table, a file of it cannot be read, or `to` cannot be
            written.
    """
    folder = OutputFolder(output)
    known = folder.count_videos()
    corpus = _Corpus(max(0, thumbnails))
    target = str(folder.report if to is None else to)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as rows:
        for row, quality, figures in tqdm(
            _videos(folder), "tables", known, unit="video", disable=not progress
        ):
            for piece in figures:
                corpus.count(piece)
            corpus.add(row, quality)
            rows.write(json_for_page(_row_values(row, quality)) + "\n")
        with kept_children():
            pictures, worst = _pictures(corpus, progress=progress)
            raw = [raw_decode_seconds(uri, PICTURE_CHILD) for uri in corpus.raw]
        with atomic_file(target) as path, path.open("w", encoding="utf-8") as out:
            _write(out, folder, corpus, rows, pictures, worst, raw)
            size = out.tell()
    return ReportSummary(target, corpus.inputs, len(pictures), size)


def _videos(
    folder: OutputFolder,
) -> Iterator[tuple[dict[str, Any], VideoQuality, list[RowFigures]]]:
    """Every status row with what its tracks add up to, a few videos at a time."""

    def read(row: dict[str, Any]) -> tuple[dict[str, Any], VideoQuality, list[RowFigures]]:
        quality, figures = VideoQuality(), []
        if row["face_frames"]:
            for table in folder.track_groups(row["video_id"], READ_COLUMNS):
                figures.append(quality.add(table))
        return row, quality, figures

    statuses = (row for table in folder.status_tables() for row in table.to_pylist())
    return in_parallel(read, statuses)


def _row_values(row: dict[str, Any], quality: VideoQuality) -> list[Any]:
    """The values of FIELDS."""
    mean = 1 / quality.rows if quality.rows else math.nan
    return [
        row["video_id"], row["status"], row["reason"], row["frames_decoded"], row["faces"],
        row["face_frames"], _short(quality.scores * mean), _short(quality.mean("spread")),
        _short(quality.mean("jitter")), _short(quality.sizes * mean),
        _short(row["duration_seconds"]), _short(row["average_fps"]), row["width"], row["height"],
        row["codec"], _short(row["elapsed_seconds"]), row["message"], row["uri"],
    ]  # fmt: skip


def _short(value: float | None) -> float | None:
    """Four digits, so that a page of many rows stays small."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")


def _pictures(
    corpus: _Corpus, *, progress: bool
) -> tuple[list[tuple[int, str]], dict[str, list[TrackPicture]]]:
    """Thumbnails by number of their row, and pictures of the worst tracks, the worst first."""
    ranked = corpus.worst if corpus.most_thumbnails else {name: [] for name in corpus.worst}
    shots = [shot for _, shot in corpus.shots]
    shots += [entry[-1] for entries in ranked.values() for entry in entries]
    workers = max(1, min(_MAX_WORKERS, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, "facetracks-pictures") as pool:
        taken = list(
            tqdm(pool.map(picture_uri, shots), "pictures", len(shots), disable=not progress)
        )
    thumbnails = [
        (number, uri) for (number, _), uri in zip(corpus.shots, taken, strict=False) if uri
    ]
    others = iter(taken[len(corpus.shots) :])
    worst = {
        _WORST_NAMES[name]: [
            TrackPicture(next(others), video_id, face_id, _seconds(shot), f"{figure:.2f} %")
            for figure, _, face_id, video_id, shot in entries
        ]
        for name, entries in ranked.items()
    }
    return thumbnails, worst


def _seconds(shot: Shot) -> float:
    return shot.moment.seconds if shot.moment else 0.0


def _write(
    out: TextIO,
    folder: OutputFolder,
    corpus: _Corpus,
    rows: IO[str],
    pictures: list[tuple[int, str]],
    worst: dict[str, list[TrackPicture]],
    raw: list[tuple[int, float]],
) -> None:
    record = json.loads(folder.run_record.read_bytes()) if folder.run_record.exists() else {}
    frames, sums = corpus.sums["frames_decoded"], corpus.sums
    raw_frames, raw_seconds = sum(f for f, _ in raw), sum(s for _, s in raw)
    speeds = [("raw decode", raw_seconds, _rate(raw_frames, raw_seconds))]
    stages = {**STAGES, "all stages": "elapsed_seconds"}
    speeds += [(name, sums[column], _rate(frames, sums[column])) for name, column in stages.items()]
    rows.seek(0)
    statuses = sorted(corpus.statuses.items())
    write_page(
        out,
        title=folder.url,
        tiles={
            "inputs": f"{corpus.inputs:,}",
            **{status: f"{count:,}" for status, count in statuses},
            "of video": _duration(sums["seconds"]),
            "frames": f"{frames:,}",
            "faces": f"{sums['faces']:,}",
            "rows": f"{sums['face_frames']:,}",
        },
        reasons=corpus.reasons.most_common(),
        rows=(line.rstrip("\n") for line in rows),
        pictures=pictures,
        picture_note=f"{len(pictures)} of {corpus.inputs} inputs have a picture; click a row "
        "for its details.",
        histograms=list(corpus.histograms.values()),
        worst=worst,
        speeds=speeds,
        speed_note="Seconds of work are those of the run, over all workers. The raw decode is a "
        f"plain one of {len(raw)} of the videos, {raw_frames} frames, on one thread as the report "
        "was made.",
        facts=_facts(record),
        record=record,
    )


def _duration(seconds: float) -> str:
    """As h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _facts(record: dict[str, Any]) -> dict[str, str]:
    config, versions = record.get("config", {}), record.get("versions", {})
    made = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")
    facts = {
        "made": f"made {made}",
        "run": f"{record.get('started', '?')} to {record.get('finished', 'not finished')}",
        "wall seconds": record.get("wall_seconds"),
        "runner": record.get("runner"),
        "network": config.get("network"),
        "weights": config.get("weights_sha256"),
        "detector": config.get("detector"),
        "stabilizer": config.get("stabilizer"),
        "config hash": record.get("config_hash"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        **{f"licence, {k}": v for k, v in record.get("licences", {}).items()},
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


def _rate(frames: float, seconds: float) -> float | None:
    return frames / seconds if seconds else None


def _histograms() -> dict[str, Histogram]:
    shares = np.linspace(0, 1, 21).tolist()
    turns = [float(degrees) for degrees in range(-90, 91, 10)]
    sizes = [float(round(8 * 2 ** (step / 2))) for step in range(15)]
    return {
        "score": Histogram("score of the detector", "", shares),
        "spread": Histogram("spread", " % of the face", [float(step) for step in range(21)]),
        "size": Histogram("size of the face, eye to eye", " px", sizes),
        "blur": Histogram("blur", "", shares),
        "cut_off": Histogram("cut off by the picture's edge", "", shares),
        "yaw_deg": Histogram("yaw", " deg", turns),
        "pitch_deg": Histogram("pitch", " deg", turns),
        "roll_deg": Histogram("roll", " deg", [float(d) for d in range(-180, 181, 20)]),
    }
