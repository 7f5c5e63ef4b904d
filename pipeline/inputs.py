"""INPUT arguments become videos: files, folders, patterns, URLs and manifests."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import fsspec

from pipeline.found_videos import FoundVideos, with_hash
from pipeline.manifests import is_manifest, printable_id, read_manifest
from pipeline.settings import ALLOWED_PROTOCOLS
from schemas.errors import FacetracksError, SourceError, UsageError
from schemas.records import Video, VideoFailure
from transforms.storage.local_listing import files_below, glob_files
from transforms.storage.source_files import is_local, resolve

_LOGGER = logging.getLogger(__name__)

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
    """The videos to annotate, and the inputs that came to nothing.

    manifests: URLs of manifests whose rows the pipeline reads.
    """

    videos: Collection[Video] = ()
    failures: list[VideoFailure] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """How many inputs are known to end as a status row."""
        return len(self.videos) + len(self.failures)


def texts_of(inputs: str | Path | Iterable[str | Path]) -> list[str]:
    """One INPUT argument or several, as text."""
    return [str(text) for text in ([inputs] if isinstance(inputs, str | Path) else inputs)]


def find_inputs(
    inputs: Sequence[str],
    limit: int | None = None,
    allowed_protocols: Collection[str] = ALLOWED_PROTOCOLS,
    *,
    open_manifests: bool = True,
) -> Inputs:
    """Finds the videos of INPUT arguments, in order, each once, at most `limit`.

    Videos whose URL, or whose boxes' URL, uses another protocol end as failures. Without
    `open_manifests` only the first row of each is read, and the rest left to the pipeline.

    Raises ManifestError for a manifest that cannot be read or used.
    """
    found = Inputs()
    videos = FoundVideos(_given(inputs, limit, open_manifests, found), limit)
    if videos.twice:
        _LOGGER.warning("%d inputs were given twice; each is done once", videos.twice)
    found.failures += videos.refuse(lambda video: _refused(video, allowed_protocols))
    found.videos = videos
    return found


def _given(
    inputs: Sequence[str], limit: int | None, open_manifests: bool, found: Inputs
) -> Iterator[tuple[Video, str]]:
    """Each video with the folder it was found in.

    Inputs without a video, and manifests that the pipeline reads, are added to `found`.
    """
    for text in inputs:
        listed: Iterable[Video]
        if manifest := is_manifest(text):
            listed, folder = islice(read_manifest(text), limit), posixpath.dirname(text)
        else:
            listed, folder = _videos_of(text)
        videos = iter(listed)
        first = next(videos, None)
        if first is None:
            message = f"{text}: no video there; expected a file, or a folder or pattern with some"
            found.failures.append(VideoFailure(Video(text, text), "no_match", message))
        elif manifest and not open_manifests:
            found.manifests.append(text)
        else:
            yield from ((video, folder) for video in chain([first], videos))


def video_of(given: Video | str | Path) -> Video:
    """A video, or the video of a path or URL, whose id is the file's name."""
    if isinstance(given, Video):
        return given
    text = str(given)
    path = text.partition("?")[0] if "://" in text else text
    return Video(printable_id(posixpath.basename(path) or text), text)


@dataclass
class DistinctVideos(beam.PTransform):  # type: ignore[misc]
    """Videos or uris become distinct Videos with distinct ids (main), and VideoFailures
    (`refused`) where a protocol is not allowed. It does with a PCollection what `find_inputs`
    does with a list.
    """

    allowed_protocols: Collection[str] = ALLOWED_PROTOCOLS

    def expand(self, given: beam.PCollection[Video | str | Path]) -> Any:
        """Groups by id; where videos share one, each gets a hash."""
        return (
            given
            | "VideoOf" >> beam.Map(_by_id).with_output_types(tuple[str, Video])
            | "ById" >> beam.GroupByKey()
            | "Distinct"
            >> beam.FlatMap(_distinct, tuple(self.allowed_protocols)).with_outputs(
                "refused", main="videos"
            )
        )


def _by_id(given: Video | str | Path) -> tuple[str, Video]:
    video = video_of(given)
    return video.video_id, video


def _distinct(sharing: tuple[str, Iterable[Video]], allowed: Collection[str]) -> Iterator[Any]:
    videos = dict.fromkeys(sharing[1])
    for video in map(with_hash, videos) if len(videos) > 1 else videos:
        refused = _refused(video, allowed)
        yield video if refused is None else beam.pvalue.TaggedOutput("refused", refused)


def _videos_of(text: str) -> tuple[list[Video], str]:
    """The videos of one INPUT, and the folder that they were found in."""
    if text.startswith(("http://", "https://")):
        return [video_of(text)], ""
    try:
        return _listed(text)
    except FacetracksError:
        raise
    except Exception as error:  # each file system raises its own kinds: no credentials, say
        message = f"{text}: cannot be listed: {type(error).__name__}: {error}"
        raise UsageError(message) from error


def _listed(text: str) -> tuple[list[Video], str]:
    fs, path = resolve(text)
    if not fs.exists(path) and fsspec.core.has_magic(path):
        matches = glob_files(path) if is_local(fs) else sorted(fs.glob(path))
        videos = [
            Video(printable_id(posixpath.basename(p)), _url(fs, p, text))
            for p in matches
            if _is_object(p) and not fs.isdir(p) and not _is_hidden(p, path)
        ]
        fixed = takewhile(lambda part: not fsspec.core.has_magic(part), path.split("/"))
        return videos, _url(fs, "/".join(fixed), text)
    if fs.isdir(path):
        return _folder(fs, path, text), _url(fs, path, text)
    return [Video(printable_id(posixpath.basename(path)), _url(fs, path, text))], ""


def _is_object(key: str) -> bool:
    """Whether it is more than the empty object that stands for a folder in some stores."""
    return not key.endswith(("/", "_$folder$"))


def check_protocol(video: Video, allowed: Collection[str]) -> None:
    """Raises SourceError where the video or its boxes lie behind a protocol not `allowed`."""
    if (refused := _refused(video, allowed)) is not None:
        raise SourceError(refused.reason, refused.message)


def _refused(video: Video, allowed: Collection[str]) -> VideoFailure | None:
    protocol = _refused_protocol(video, allowed)
    if protocol is None:
        return None
    expected = ", ".join(allowed)
    message = f"{video.uri}: the protocol {protocol} is not allowed; allowed: {expected}"
    return VideoFailure(video, "protocol_refused", message)


def _refused_protocol(video: Video, allowed: Collection[str]) -> str | None:
    for url in (video.uri, video.boxes_uri):
        if url is None or url.startswith("/"):  # a local path, whatever its name looks like
            continue
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
    for file in sorted(files_below(path) if is_local(fs) else filter(_is_object, fs.find(path))):
        inside = posixpath.relpath(file, path) if file != path else posixpath.basename(path)
        hidden = any(part.startswith(".") for part in inside.split("/"))
        if hidden or posixpath.splitext(file)[1].lower() in _NOT_VIDEOS:
            left_out += 1
        else:
            videos.append(Video(printable_id(inside), _url(fs, file, text)))
    if left_out:
        _LOGGER.warning("%s: %d files are no videos by their names; left out", text, left_out)
    return videos


def _url(fs: Any, path: str, text: str) -> str:
    """The path as the user would write it: plain for local files, with its scheme elsewhere."""
    if text.startswith("hdfs://"):  # whose file system leaves the host out of its paths
        return f"hdfs://{text.removeprefix('hdfs://').partition('/')[0]}{path}"
    return str(fs.unstrip_protocol(path)) if "://" in text and not is_local(fs) else path
