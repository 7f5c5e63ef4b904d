"""The `facetracks` command: subcommands, exit status, and an orderly end on Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from schemas.errors import FacetracksError, OutputError, UsageError

_EXIT_BROKE: Final = 1
_EXIT_USAGE: Final = 2
_EXIT_INTERRUPTED: Final = 130
#: Errors that disks and limits cause.
_MACHINE_ERRORS: Final = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
    + (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)
)
#: Python's message where the limit on threads, or on memory for their stacks, is reached.
_NO_THREAD: Final = "can't start new thread"
_NEEDS_TORCH: Final = (
    "this needs torch: install it with pip install 'facetracks[torch]'. Without it, annotate runs "
    "the shipped weights and other U-nets on the CPU"
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits: 0 ok, 1 failed, 2 usage error, 3 not every video ok."""
    # Processes that libraries start (Beam's workers, data loaders) import nothing of this folder.
    os.environ["PYTHONSAFEPATH"] = "1"
    # Our matrices are small. On many cores OpenBLAS's threads, which spin, take more than the work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _open_standard_streams()
    if sys.flags.optimize > 1:
        print("facetracks: Apache Beam needs docstrings: run without -OO", file=sys.stderr)
        sys.exit(_EXIT_USAGE)
    _quiet_libraries()
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
    except KeyboardInterrupt:
        _end_interrupted("the same command starts again")
    except (UsageError, OutputError) as error:
        status = _report(error, str(error), _EXIT_USAGE)
    except FacetracksError as error:
        status = _report(error, f"{type(error).__name__}: {error}", _EXIT_BROKE)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            sys.exit(_report(error, _NEEDS_TORCH, _EXIT_USAGE))
        if (fault := _fault_of_machine(error)) is not None:
            sys.exit(_report(error, fault, _EXIT_BROKE))
        logging.getLogger(__name__).exception("the run failed")
        status = _report(error, f"the run failed: {type(error).__name__}: {error}", _EXIT_BROKE)
    sys.exit(status)


def _fault_of_machine(error: Exception) -> str | None:
    """A message for an error that a disk, a limit or a folder causes; None for any other."""
    if isinstance(error, MemoryError):
        return "the run failed: memory ran out, or a limit on it (ulimit) was reached"
    if isinstance(error, FileNotFoundError) and error.filename is None:  # by os.getcwd
        return "the working folder does not exist any more"
    is_limit = isinstance(error, OSError) and error.errno in _MACHINE_ERRORS
    if is_limit or (isinstance(error, RuntimeError) and str(error) == _NO_THREAD):
        return f"the run failed: {error}"
    return None


def _report(error: Exception, message: str, status: int) -> int:
    """Prints the notes of an exception (what was done before) and a message; returns `status`."""
    for line in [*getattr(error, "__notes__", ()), message]:
        print(f"facetracks: {line}", file=sys.stderr)
    return status


def _dispatch(arguments: list[str]) -> int:
    from pipeline.commands.command_line import parse_command  # imports numpy

    args = parse_command(arguments)
    # SIGTERM ends a command as Ctrl-C does: temporary files are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if args.takes_beam_options:
        # Not by KeyboardInterrupt: a runner would wrap it, or catch it in a worker thread.
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, _stop_annotating)
    # Imported now: what commands run takes seconds to load.
    command = importlib.import_module(f"{__package__}.{args.module}")
    return int(command.run(args))


def _quiet_libraries() -> None:
    """Hides warnings that users cannot act on; progress bars in logs are rare."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().addFilter(lambda record: "apitools" not in record.getMessage())
    for name in ("apache_beam", "fsspec"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Runners log their exceptions with tracebacks; they are printed once, at the end.
    logging.getLogger("apache_beam.runners").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
    if not sys.stderr.isatty():  # a log: tqdm, imported later, writes to it every 30 s
        os.environ.setdefault("TQDM_MININTERVAL", "30")


def _open_standard_streams() -> None:
    """Reopens closed standard streams (`2>&-`) on the null device.

    Otherwise the next file that is opened takes its number, and gets what is printed.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _Messages(io.FileIO(2, "w", closefd=False), line_buffering=True)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may be no UTF-8


class _Messages(io.TextIOWrapper):
    """Standard error; a reader that has gone (a pipe, a terminal) does not break the run.

    Beam prints the traceback of what a worker thread raises, then raises it: it is printed once.
    """

    def __init__(self, stream: io.FileIO, *, line_buffering: bool) -> None:
        super().__init__(stream, line_buffering=line_buffering)
        self._ends_of = threading.local()

    def write(self, text: str) -> int:
        if not self._is_reported_later(text):
            with contextlib.suppress(OSError):
                super().write(text)
        return len(text)

    def _is_reported_later(self, text: str) -> bool:
        """Whether a worker thread prints a traceback, or the end of the line after it."""
        is_end = text == "\n" and getattr(self._ends_of, "traceback", False)
        is_traceback = text.startswith("Traceback (most recent call last)")
        self._ends_of.traceback = is_traceback
        in_worker = threading.current_thread() is not threading.main_thread()
        return in_worker and (is_traceback or is_end)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def _stop_annotating(signum: int, frame: Any) -> NoReturn:
    """Signal handler: kills child processes, removes unfinished files and exits at once."""
    from transforms.decoding.child_process import kill_all_children
    from transforms.storage.atomic_files import sweep_temporaries

    kill_all_children()
    sweep_temporaries()
    _end_interrupted("the same command resumes")


def _end_interrupted(next_time: str) -> NoReturn:
    print(f"\nfacetracks: interrupted; {next_time}", file=sys.stderr, flush=True)
    os._exit(_EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
