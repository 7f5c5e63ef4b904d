"""Annotates video corpora with 68-point facial landmark tracks.

    import facetracks

    facetracks.annotate("clips/", "out")
    tracks = facetracks.read_tracks("out")    # one row per face per frame

This module is the public API. It loads neither torch nor Beam: a name in `__all__` is imported
at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipeline.align_image import AlignedFaces, align
    from pipeline.annotate import RunSummary, annotate
    from pipeline.annotate_clip import annotate_clip
    from pipeline.annotate_rows import AnnotateRows
    from pipeline.annotate_videos import AnnotateVideos
    from pipeline.exports.formats import ExportSummary, export_tracks
    from pipeline.manifests import ReadManifests
    from pipeline.outputs.compact_output import CompactSummary, compact
    from pipeline.outputs.derive_tracks import DerivedVideo, derive_tracks
    from pipeline.outputs.forget_videos import ForgottenVideo, forget
    from pipeline.probing.probe import ProbeSummary, probe
    from pipeline.reports.corpus_report import ReportSummary, report
    from pipeline.settings import AnnotateSettings
    from pipeline.videos.crop_plan import CropFilter
    from pipeline.videos.cropping import CropSummary, crop
    from pipeline.videos.redaction import redact
    from pipeline.videos.track_file import TrackRows, read_track_file
    from schemas.errors import FacetracksError
    from schemas.landmarks import LANDMARKS
    from schemas.records import Video
    from transforms.storage.output_tables import read_tracks, read_videos

__all__ = [
    "LANDMARKS",
    "AlignedFaces",
    "AnnotateRows",
    "AnnotateSettings",
    "AnnotateVideos",
    "CompactSummary",
    "CropFilter",
    "CropSummary",
    "DerivedVideo",
    "ExportSummary",
    "FacetracksError",
    "ForgottenVideo",
    "ProbeSummary",
    "ReadManifests",
    "ReportSummary",
    "RunSummary",
    "TrackRows",
    "Video",
    "__version__",
    "align",
    "annotate",
    "annotate_clip",
    "compact",
    "crop",
    "derive_tracks",
    "export_tracks",
    "forget",
    "probe",
    "read_track_file",
    "read_tracks",
    "read_videos",
    "redact",
    "report",
]

#: The version of this package.
__version__ = "0.1.0"

#: The names that each module of each folder defines.
_DEFINED_IN: Final = {
    ("pipeline", "align_image"): ("AlignedFaces", "align"),
    ("pipeline", "annotate"): ("RunSummary", "annotate"),
    ("pipeline", "annotate_clip"): ("annotate_clip",),
    ("pipeline", "annotate_rows"): ("AnnotateRows",),
    ("pipeline", "annotate_videos"): ("AnnotateVideos",),
    ("pipeline", "exports.formats"): ("ExportSummary", "export_tracks"),
    ("pipeline", "manifests"): ("ReadManifests",),
    ("pipeline", "outputs.compact_output"): ("CompactSummary", "compact"),
    ("pipeline", "outputs.derive_tracks"): ("DerivedVideo", "derive_tracks"),
    ("pipeline", "outputs.forget_videos"): ("ForgottenVideo", "forget"),
    ("pipeline", "probing.probe"): ("ProbeSummary", "probe"),
    ("pipeline", "reports.corpus_report"): ("ReportSummary", "report"),
    ("pipeline", "settings"): ("AnnotateSettings",),
    ("pipeline", "videos.crop_plan"): ("CropFilter",),
    ("pipeline", "videos.cropping"): ("CropSummary", "crop"),
    ("pipeline", "videos.redaction"): ("redact",),
    ("pipeline", "videos.track_file"): ("TrackRows", "read_track_file"),
    ("schemas", "errors"): ("FacetracksError",),
    ("schemas", "landmarks"): ("LANDMARKS",),
    ("schemas", "records"): ("Video",),
    ("transforms", "storage.output_tables"): ("read_tracks", "read_videos"),
}
_HOMES: Final = {name: home for home, names in _DEFINED_IN.items() for name in names}
#: Installed, this package contains the folders; in the repository they are beside this module.
_INSIDE: Final = f"{__name__}." if "__path__" in globals() else ""


def __getattr__(name: str) -> Any:
    """Imports a name in `__all__` from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    folder, module = _HOMES[name]
    return getattr(importlib.import_module(f"{_INSIDE}{folder}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
