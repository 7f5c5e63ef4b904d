"""INPUT arguments become videos: files, folders, patterns, URLs and manifests."""

from __future__ import annotations

import io
import json
import logging
import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

import fsspec
import pyarrow as pa

from schemas.errors import ManifestError
from schemas.records import Video, VideoFailure
from transforms.storage.csv_reading import read_csv
from transforms.storage.parquet_reading import read_parquet
from transforms.storage.source_files import resolve

__all__ = ["ALLOWED_PROTOCOLS", "Inputs", "find_inputs", "read_manifest"]

_LOGGER = logging.getLogger(__name__)

_MANIFESTS: Final = (".csv", ".jsonl", ".parquet")
_MANIFEST_COLUMNS: Final = ("uri", "video_id", "start_seconds", "stop_seconds", "boxes")
#: Protocols that inputs may use unless the user says otherwise. `chain` would allow `::`.
ALLOWED_PROTOCOLS: Final = tuple(
    "file http https s3 gs gcs abfs abfss az adl memory".split()  # noqa: SIM905
)
#: What a folder may hold beside videos; everything else in it is taken for a video.
_NOT_VIDEOS: Final = frozenset(
    (  # noqa: SIM905
        ".csv .jsonl .json .parquet .txt .md .yaml .yml .xml .html .pdf .srt .vtt .ass .sub .log "
        ".jpg .jpeg .png .bmp .tif .tiff .webp .heic .svg .pts .npy .npz .mat .zip .gz .tar .7z "
        ".wav .mp3 .aac .flac .m4a .opus .py .ipynb .sh .safetensors .onnx .pt .pth"
    ).split()
)


@dataclass
class Inputs:
    """The videos to annotate, and the inputs that came to nothing."""

    videos: list[Video] = field(default_factory=list)
    failures: list[VideoFailure] = field(default_factory=list)

    def all_videos(self) -> list[Video]:
        """Every input that must end as a status row."""
        return self.videos + [failure.video for failure in self.failures]


def find_inputs(
    inputs: Sequence[str],
    limit: int | None = None,
    allowed_protocols: Collection[str] = ALLOWED_PROTOCOLS,
) -> Inputs:
    """Finds the videos of INPUT arguments, in order, each once, at most `limit`.

    Videos whose URL, or whose boxes' URL, uses another protocol end as failures.

    Raises ManifestError for a manifest that cannot be read or used.
    """
    found, empty = [], []
    for text in inputs:
        videos = _videos_of(text)
        found += videos
        if not videos:
            message = f"{text}: no video there; expected a file, or a folder or pattern with some"
            empty.append(VideoFailure(Video(text, text), "no_match", message))
    unique = list(dict.fromkeys(found))
    if len(unique) < len(found):
        _LOGGER.warning("%d inputs were given twice; each is done once", len(found) - len(unique))
    found_inputs = Inputs(failures=empty)
    for video in _with_distinct_ids(unique)[:limit]:
        refused = _refused_protocol(video, allowed_protocols)
        if refused is None:
            found_inputs.videos.append(video)
        else:
            allowed = ", ".join(allowed_protocols)
            message = f"{video.uri}: the protocol {refused} is not allowed; allowed: {allowed}"
            found_inputs.failures.append(VideoFailure(video, "protocol_refused", message))
    return found_inputs


def read_manifest(url: str) -> list[Video]:
    """Reads a manifest: .csv, .jsonl or .parquet, a row a video.

    `uri` is required (relative ones start at the manifest's folder), `video_id`,
    `start_seconds`, `stop_seconds` and `boxes` are optional. The range counts from the video's
    first timestamp.

    Raises ManifestError naming the file, the row and the column.
    """
    try:
        fs, path = resolve(url)
        with fs.open(path, "rb") as file:
            rows = _rows(url, file.read())
    except ManifestError:
        raise
    except FileNotFoundError as error:
        raise ManifestError(f"{url}: no such manifest") from error
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        raise ManifestError(f"{url}: cannot be read as a manifest: {error}") from error
    videos = [_manifest_video(url, number, row) for number, row in enumerate(rows, start=1)]
    given = Counter(str(row["video_id"]) for row in rows if not _missing(row.get("video_id")))
    twice = [video_id for video_id, count in given.items() if count > 1]
    if twice:
        raise ManifestError(f"{url}: video_id {twice[0]!r} stands in {given[twice[0]]} rows")
    return videos


def _videos_of(text: str) -> list[Video]:
    if text.lower().endswith(_MANIFESTS):
        return read_manifest(text)
    if text.startswith(("http://", "https://")):
        return [Video(posixpath.basename(text.partition("?")[0]) or text, text)]
    fs, path = resolve(text)
    if not fs.exists(path) and fsspec.core.has_magic(path):
        paths = [p for p in sorted(fs.glob(path)) if not fs.isdir(p) and not _is_hidden(p, path)]
        return [Video(_printable(posixpath.basename(p)), _url(fs, p, text)) for p in paths]
    if fs.isdir(path):
        return _folder(fs, path, text)
    return [Video(_printable(posixpath.basename(path)), _url(fs, path, text))]


def _refused_protocol(video: Video, allowed: Collection[str]) -> str | None:
    for url in (video.uri, video.boxes_uri):
        if url is None:
            continue
        if url.startswith("/"):
            continue  # a local path, whatever its name looks like
        if "::" in url and "chain" not in allowed:
            return "chain (::)"
        for link in url.split("::"):
            protocol = link.partition("://")[0] if "://" in link else "file"
            if protocol not in allowed:
                return protocol
    return None


def _is_hidden(path: str, pattern: str) -> bool:
    """Whether a match is hidden, or in a hidden folder, that the pattern does not name."""
    named = {part for part in pattern.split("/") if part.startswith(".")}
    hidden = {part for part in path.split("/") if part.startswith(".")}
    return bool(hidden - named) and not any(fsspec.core.has_magic(part) for part in named)


def _folder(fs: Any, path: str, text: str) -> list[Video]:
    videos, left_out = [], 0
    for file in sorted(fs.find(path)):
        inside = posixpath.relpath(file, path)
        hidden = any(part.startswith(".") for part in inside.split("/"))
        if hidden or posixpath.splitext(file)[1].lower() in _NOT_VIDEOS:
            left_out += 1
        else:
            videos.append(Video(_printable(inside), _url(fs, file, text)))
    if left_out:
        _LOGGER.warning("%s: %d files are no videos by their names; left out", text, left_out)
    return videos


def _url(fs: Any, path: str, text: str) -> str:
    """The path as the user would write it: plain for local files, with its scheme elsewhere."""
    return str(fs.unstrip_protocol(path)) if "://" in text else path


def _printable(name: str) -> str:
    """The name with bytes that are no UTF-8 escaped: tables and terminals need text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _with_distinct_ids(videos: Iterable[Video]) -> list[Video]:
    """Where different videos share an id, each gets a hash of what tells them apart."""
    videos = list(videos)
    sharing: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        sharing[video.video_id].append(video)
    return [video if len(sharing[video.video_id]) == 1 else _with_hash(video) for video in videos]


def _with_hash(video: Video) -> Video:
    what = repr((video.uri, video.start_seconds, video.stop_seconds, video.boxes_uri))
    digest = sha256(what.encode("utf-8", "surrogatepass")).hexdigest()
    return replace(video, video_id=f"{video.video_id}-{digest[:8]}")


def _rows(url: str, content: bytes) -> list[dict[str, Any]]:
    if url.lower().endswith(".jsonl"):
        rows = []
        for number, line in enumerate(content.decode().splitlines(), start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise ManifestError(f"{url}: line {number} is not JSON: {error}") from error
                if not isinstance(row, dict):
                    raise ManifestError(
                        f"{url}: line {number}: got {line[:40]}, expected an object"
                    )
                rows.append(row)
        columns = set().union(*rows) if rows else {"uri"}
    else:
        if url.lower().endswith(".csv"):
            table = read_csv(content, {"uri": pa.string(), "video_id": pa.string()})
        else:
            table = read_parquet(io.BytesIO(content))
        rows, columns = table.to_pylist(), set(table.column_names)
    if "uri" not in columns:
        got = ", ".join(sorted(columns)) or "none"
        expected = ", ".join(_MANIFEST_COLUMNS)
        raise ManifestError(f"{url}: no column uri; got {got}; expected {expected} (uri at least)")
    other = sorted(columns - set(_MANIFEST_COLUMNS))
    if other:
        _LOGGER.warning("%s: columns not used: %s", url, ", ".join(other))
    return rows


def _manifest_video(url: str, number: int, row: Mapping[str, Any]) -> Video:
    uri = row.get("uri")
    if not isinstance(uri, str) or not uri.strip():
        raise ManifestError(f"{url}: row {number}: uri is {uri!r}, expected a path or URL")
    start, stop = (_seconds(url, number, row, c) for c in ("start_seconds", "stop_seconds"))
    if stop is not None and stop <= (start or 0.0):
        raise ManifestError(
            f"{url}: row {number}: stop_seconds {stop:g} is not after start_seconds {start or 0:g}"
        )
    given, boxes = row.get("video_id"), row.get("boxes")
    name = posixpath.basename(uri.partition("?")[0]) if _missing(given) else str(given)
    boxes_uri = None if _missing(boxes) else _beside(url, str(boxes))
    return Video(_printable(name), _beside(url, uri), start, stop, boxes_uri)


def _seconds(url: str, number: int, row: Mapping[str, Any], column: str) -> float | None:
    value = row.get(column)
    if _missing(value):
        return None
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise ManifestError(f"{url}: row {number}: {column} is {value!r}, expected seconds >= 0")
    return seconds


def _missing(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _beside(manifest: str, uri: str) -> str:
    """A relative path starts at the manifest's folder."""
    if "://" in uri or posixpath.isabs(uri):
        return uri
    folder = posixpath.dirname(manifest)
    return posixpath.join(folder, uri) if folder else uri
