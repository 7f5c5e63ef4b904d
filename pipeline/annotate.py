"""The whole job as one function: videos in, landmark tracks in Parquet out."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import resource
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from models.landmarks.model import landmark_device
from pipeline.annotate_videos import stage_settings
from pipeline.graph import AnnotateGraph, GraphSettings
from pipeline.inputs import DistinctVideos, Inputs, find_inputs, texts_of
from pipeline.manifests import ReadManifests
from pipeline.output_lock import exclusive_run
from pipeline.outputs.compact_output import compact
from pipeline.provenance import check_same_config, write_run_record
from pipeline.runner_options import runner_options, runs_here, worker_threads
from pipeline.settings import AnnotateSettings
from pipeline.waves import RunTotals, RunWave, WaveInputs, run_in_waves
from pipeline.worker_errors import raised_by_worker
from schemas.records import Video, VideoFailure
from transforms.decoding.child_pool import kept_children
from transforms.run_metrics import NAMESPACE, cpu_by_stage
from transforms.storage.output_tables import OutputFolder
from transforms.sum_videos import IncompleteVideo, SumVideos, read_totals

#: Receives the number of known inputs; the context lasts while they are annotated.
Watch: TypeAlias = Callable[[int], AbstractContextManager[object]]
_MAX_INPUTS_RECORDED: Final = 100


@dataclass(frozen=True)
class RunSummary:
    """What became of a run.

    Attributes:
        output: where tracks/, videos/ and run.json are.
        statuses: how many inputs ended ok, partial or failed.
        reasons: how many inputs ended for each reason.
        done_before: how many inputs an earlier run had done; 0 where the runner does not count.
        frames: frames decoded.
        face_frames: rows in the tracks: faces, each on each of its frames.
        incomplete: up to 20 of the partial and failed inputs, by video_id.
        wall_seconds: how long the run took.
        staging_peak_bytes: the most bytes that the parts of unfinished videos took.
        licences: what the weights of the landmarks, the detector and the stabilizer may be used
            for, in the words of their cards.
        predicted_seconds: what `probe` estimated, in OUTPUT/probe.json, for a run over as many
            inputs on as many workers; None without an estimate, or if some were done before.
        cpu_seconds: of CPU, by stage: of `decode`, `detect`, `crop`, `align`, `stabilize` and
            `write`, over all workers, and of `run`: this process and its children, all in all.
            Of what this run did only; waiting for a busy machine does not count.
    """

    output: str
    statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    done_before: int
    frames: int
    face_frames: int
    incomplete: Sequence[IncompleteVideo]
    wall_seconds: float
    staging_peak_bytes: int
    licences: Mapping[str, str]
    predicted_seconds: float | None = None
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def videos(self) -> int:
        """How many inputs there were."""
        return sum(self.statuses.values())

    @property
    def complete(self) -> bool:
        """Whether every input ended ok."""
        return set(self.statuses) <= {"ok"}


def annotate(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    settings: AnnotateSettings | None = None,
    *,
    beam_options: Sequence[str] = (),
    watch: Watch | None = None,
) -> RunSummary:
    """Annotates videos with landmark tracks, and accounts for every input.

        summary = annotate("clips/", "out", AnnotateSettings(device="cuda"))
        tracks = read_tracks("out")

    An interrupted run resumes where it stopped; finished videos are skipped.

    Args:
        inputs: files, folders, patterns, fsspec URLs, or manifests (.csv, .jsonl, .parquet).
        output: folder or URL for tracks/, videos/ and run.json.
        settings: None is the defaults.
        beam_options: Beam's command line options, `--runner=...` among them. Without a runner
            the job runs on this machine.
        watch: shows the progress; given the number of inputs, entered while they are annotated.

    Raises:
        UsageError: inputs, settings or weights that cannot be used, or an `output` of another
            configuration.
        OutputError: `output` cannot be written, or another run is writing there.
        AccountingError: an input ended without a status row.
    """
    settings = settings or AnnotateSettings()
    given = texts_of(inputs)
    options, runner = runner_options(beam_options, settings.workers)
    here = runs_here(runner)
    location = _location(output)
    if here:
        landmark_device(settings.weights, settings.device)
    stages = stage_settings(location, settings, runner, worker_threads(options, runner))
    OutputFolder(location).check_writable()
    # On this machine the run goes in waves of known videos; a cluster reads manifests itself.
    found = find_inputs(
        given,
        settings.limit,
        settings.allow_protocols,
        open_manifests=here or settings.limit is not None,
    )
    record = {
        "started": _now(),
        "inputs_given": given[:_MAX_INPUTS_RECORDED],
        "settings": _plain(settings),
        "beam_options": list(beam_options),
        "config": dict(stages.run_output.config),
        "config_hash": stages.run_output.config_hash,
        **stages.run_output.provenance,
    }
    with exclusive_run(stages.run_output.folder):
        if not settings.overwrite:
            check_same_config(location, stages.run_output.config)
        write_run_record(location, record)
        start, cpu_start = time.monotonic(), _cpu_seconds()
        with (watch or contextlib.nullcontext)(len(found)), kept_children():
            totals = _run(found, stages, options, runner)
        wall_seconds = time.monotonic() - start
        cpu_seconds = cpu_by_stage(totals.counters) | {"run": _cpu_seconds() - cpu_start}
        stages.run_output.clear_staging()
    videos = totals.videos
    record |= {
        "finished": _now(),
        "wall_seconds": round(wall_seconds, 3),
        "cpu_seconds": {stage: round(seconds, 3) for stage, seconds in cpu_seconds.items()},
        "predicted_seconds": _estimated_seconds(location, totals, settings.workers),
        "inputs": videos.videos,
        "statuses": dict(videos.statuses),
        "reasons": dict(videos.reasons),
        "counters": dict(totals.counters),
        "waves": totals.waves,
        "staging_peak_bytes": totals.staging_peak_bytes,
    }
    write_run_record(location, record)
    if settings.compact:
        compact(location)
    return RunSummary(
        location,
        videos.statuses,
        videos.reasons,
        totals.counters["videos_done_before"],
        videos.frames,
        videos.face_frames,
        tuple(videos.incomplete),
        wall_seconds,
        totals.staging_peak_bytes,
        stages.run_output.provenance["licences"],
        record["predicted_seconds"],
        cpu_seconds,
    )


def _run(found: Inputs, stages: GraphSettings, options: PipelineOptions, runner: str) -> RunTotals:
    """Runs the inputs, on this machine in waves; a cluster needs to see all of them at once."""
    totals = RunTotals()
    # A unique name: on an object store two runs may write to one output.
    sums = stages.run_output.folder.staging / f"totals-{uuid.uuid4().hex}.json"

    def built() -> RunWave:
        return _pipeline(stages, options, str(sums), found.manifests)

    # The FnApiRunner can run one pipeline again and again.
    run_inputs = built() if runner == "FnApiRunner" else None

    def run_wave(wave: Inputs) -> Counter[str]:
        counters = (run_inputs or built())(wave)
        totals.videos.merge(read_totals(str(sums)))
        sums.remove()
        return counters

    try:
        if runs_here(runner):
            run_in_waves(found, run_wave, totals, stages.threads)
        else:
            totals.add(found, run_wave(found))
    except Exception as error:
        raised = raised_by_worker(error) or error
        raised.add_note(
            f"{totals.videos_done} of {len(found)} inputs were done before the run failed; "
            "the same run, without overwrite, resumes there"
        )
        if raised is error:
            raise
        raise raised from error
    return totals


def _pipeline(
    stages: GraphSettings, options: PipelineOptions, totals_url: str, manifests: Sequence[str]
) -> RunWave:
    """A pipeline over the rows of manifests and the inputs that each run of it is given."""
    pipeline = beam.Pipeline(options=options)
    # For transforms in other languages only; a run that is ended by a signal would leave it.
    shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)
    given, unreadable = WaveInputs(Video), WaveInputs(VideoFailure)
    videos = pipeline | "Videos" >> given
    failures = pipeline | "Unreadable" >> unreadable
    if manifests:
        rows = pipeline | "Manifests" >> beam.Create(manifests) | "Rows" >> ReadManifests()
        both = (videos, rows) | "Listed" >> beam.Flatten()
        distinct = both | "DistinctVideos" >> DistinctVideos(tuple(stages.settings.allow_protocols))
        videos = distinct.videos
        failures = (failures, distinct.refused) | "Refused" >> beam.Flatten()
    rows = (videos, failures) | "Annotate" >> AnnotateGraph(stages)
    _ = rows | "SumVideos" >> SumVideos(totals_url)

    def run(wave: Inputs) -> Counter[str]:
        given.give(wave.videos)
        unreadable.give(wave.failures)
        result = pipeline.run()
        state = result.wait_until_finish()
        if state not in (None, "DONE"):
            raise RuntimeError(f"the runner ended the job as {state}, expected DONE")
        return _counters(result)

    return run


def _estimated_seconds(location: str, totals: RunTotals, workers: int) -> float | None:
    """The estimate of `probe` for as many inputs and workers; None if there is none."""
    estimate = OutputFolder(location).probe_record
    if totals.counters["videos_done_before"] or not estimate.exists():
        return None
    try:
        figures = json.loads(estimate.read_bytes())
        same = (figures["inputs"], figures["workers_here"]) == (totals.videos.videos, workers)
        return float(figures["seconds_here"]) if same else None
    except (ValueError, TypeError, KeyError):
        return None  # not a record of `probe`


def _location(output: str | Path) -> str:
    text = str(output)
    return text.rstrip("/") if "://" in text else str(Path(text).absolute())


def _plain(settings: AnnotateSettings) -> dict[str, Any]:
    """The settings as JSON holds them."""
    sets = {"retry": sorted(settings.retry), "allow_protocols": list(settings.allow_protocols)}
    return dataclasses.asdict(settings) | sets


def _counters(result: Any) -> Counter[str]:
    """Our counters, and counts and sums of our distributions; none if the runner has no metrics."""
    try:
        metrics = result.metrics().query()
    except (AttributeError, NotImplementedError):
        return Counter()
    totals: Counter[str] = Counter()
    for kind in ("counters", "distributions"):
        for one in metrics[kind]:
            name = one.key.metric.name
            if one.key.metric.namespace != NAMESPACE:
                continue
            if kind == "counters":
                totals[name] += one.result
            else:
                totals[f"{name}.count"] += one.result.count
                totals[f"{name}.sum"] += one.result.sum
    return totals


def _cpu_seconds() -> float:
    """CPU of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
