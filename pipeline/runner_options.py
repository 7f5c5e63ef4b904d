"""Beam's options of a run; the default runner is the FnApiRunner."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers

#: Prism splits slow bundles, if need be between elements of one key, and then runs both halves
#: at the same time: a video's state would be in two places.
_WHOLE_BUNDLES: Final = "--experiments=prism_disable_sdf_split"
_MAY_BE_PRISM: Final = ("PrismRunner", "DirectRunner")
_LOCAL_RUNNERS: Final = ("FnApiRunner", "DirectRunner", "BundleBasedDirectRunner", "PrismRunner")


def runner_options(flags: Sequence[str], workers: int) -> tuple[PipelineOptions, str]:
    """Beam's options of these flags, and the name of the runner.

    Without --runner it is the FnApiRunner with this many worker threads: DirectRunner would
    choose its engine by the content of the graph.
    """
    runner = PipelineOptions(list(flags)).view_as(StandardOptions).runner
    if runner is not None:
        name = str(runner).rpartition(".")[2]
        whole_bundles = [_WHOLE_BUNDLES] if name in _MAY_BE_PRISM else []
        return PipelineOptions([*flags, *whole_bundles]), name
    # Beam 2.77 flushes buffers every second from another thread, sometimes in the middle of an
    # element or timer, whose rest is then decoded as another. 0: only between elements.
    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = 0
    mode = "multi_threading" if workers > 1 else "in_memory"
    ours = ["--runner=FnApiRunner", f"--direct_num_workers={workers}"]
    ours += [f"--direct_running_mode={mode}"]
    # The user's come last: of an option that is given twice the last counts.
    return PipelineOptions([*ours, *flags]), "FnApiRunner"


def worker_threads(options: PipelineOptions, runner: str) -> int:
    """How many worker threads in this process a runner has, if it is the FnApiRunner; else 0."""
    direct = options.view_as(DirectOptions)
    if runner != "FnApiRunner" or direct.direct_running_mode == "multi_processing":
        return 0
    return direct.direct_num_workers or os.cpu_count() or 1


def runs_here(runner: str) -> bool:
    """Whether a runner of this name keeps its workers on this machine."""
    return runner in _LOCAL_RUNNERS
