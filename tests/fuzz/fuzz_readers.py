"""Fuzzes the readers of untrusted files: manifests, boxes, track files, packed records.

    python -m tests.fuzz.fuzz_readers --minutes 10

Valid files are damaged (bytes flipped, removed, duplicated, inserted), and files are generated
from significant tokens. A reader may return or raise a documented error. Anything else is
printed with its reproduction, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from pipeline.inputs import find_inputs
from pipeline.videos.track_file import find_track_file, read_track_file
from schemas.errors import BoxesError, ManifestError, UsageError
from schemas.records import Segment, Video
from tests.fuzz.samples import SAMPLES, made_up_tables, made_up_text
from transforms.decoding.box_files import read_boxes
from transforms.decoding.messages import decode_answer
from transforms.storage.record_codec import unpack_landmarks, unpack_windows

__all__ = ["TARGETS", "Target", "main"]

_ROUND_CASES: Final = 400
_TIME_BASE: Final = Fraction(1, 12800)


@dataclass(frozen=True)
class Target:
    """A reader, the errors that it may raise, and its inputs."""

    name: str
    read: Callable[[bytes, Path], object]
    allowed: tuple[type[Exception], ...]
    contents: st.SearchStrategy[bytes]


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes all readers alternately for `minutes`; returns the exit status."""
    parser = argparse.ArgumentParser(prog="fuzz_readers", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--only", help="a part of the reader's name")
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    targets = [t for t in TARGETS if args.only is None or args.only in t.name]
    end, rounds = time.monotonic() + 60 * args.minutes, 0
    cases: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            for target in targets:
                round_seed = args.seed + rounds
                _fuzz(target, round_seed, Path(folder), cases, outcomes, found)
            rounds += 1
    sys.stdout.write(_summary(cases, outcomes, found, args.seed))
    return 1 if found else 0


def _summary(
    cases: Counter[str], outcomes: Counter[str], found: dict[str, str], first_seed: int
) -> str:
    lines = []
    for name, count in sorted(cases.items()):
        told = {o.partition(": ")[2]: n for o, n in outcomes.items() if o.startswith(f"{name}: ")}
        words = ", ".join(f"{n} {what}" for what, n in sorted(told.items()))
        lines.append(f"{name:<28}{count:>9} cases: {words}")
    lines.append(f"{sum(cases.values())} cases, {len(found)} bugs, seed {first_seed}")
    lines += [f"\n== {where}\n{report}" for where, report in sorted(found.items())]
    return "\n".join(lines) + "\n"


def _fuzz(
    target: Target,
    round_seed: int,
    folder: Path,
    cases: Counter[str],
    outcomes: Counter[str],
    found: dict[str, str],
) -> None:
    @seed(round_seed)
    @settings(
        max_examples=_ROUND_CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.contents)
    def run(content: bytes) -> None:
        cases[target.name] += 1
        try:
            target.read(content, folder)
            outcomes[f"{target.name}: read"] += 1
        except target.allowed as error:
            outcomes[f"{target.name}: {type(error).__name__}"] += 1
        except Exception as error:
            where = _place(error)
            key = f"{target.name}: {type(error).__name__} in {where}"
            outcomes[f"{target.name}: BUG {type(error).__name__}"] += 1
            report = f"{type(error).__name__}: {str(error)[:400]}\n{_shown(content)}"
            if key not in found or len(report) < len(found[key]):
                found[key] = report[:4000]

    run()


def _shown(content: bytes) -> str:
    """A case as printed in the report."""
    if content.startswith(b"PAR1"):
        with contextlib.suppress(Exception):
            table = pq.read_table(io.BytesIO(content))
            return f"{table.schema.remove_metadata()}\n{str(table.to_pylist())[:2000]}"
    return repr(content)


def _place(error: Exception) -> str:
    """The last line of our own code that the error came through."""
    ours = [
        f for f in traceback.extract_tb(error.__traceback__)
        if any(f"/{part}/" in f.filename for part in ("pipeline", "transforms", "schemas"))
        and "site-packages" not in f.filename
    ]  # fmt: skip
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "elsewhere"


def _manifest(suffix: str) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        path = folder / f"manifest{suffix}"
        path.write_bytes(content)
        return find_inputs([str(path)])

    return read


def _boxes(suffix: str) -> Callable[[bytes, Path], object]:
    def read(content: bytes, folder: Path) -> object:
        path = folder / f"boxes{suffix}"
        path.write_bytes(content)
        video = Video("clip.mp4", "/in/clip.mp4", boxes_uri=str(path))
        boxes = read_boxes(video, _TIME_BASE, 1)
        return [boxes.is_key(frame, 512 * frame, None) for frame in range(3)]

    return read


def _track(content: bytes, folder: Path) -> object:
    path = folder / "track.parquet"
    path.write_bytes(content)
    rows = read_track_file(str(path))
    return rows.by_pts()


def _videos_table(content: bytes, folder: Path) -> object:
    path = folder / "out" / "videos" / "row.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return find_track_file(str(folder / "out"), "/in/clip.mp4")


def _segment() -> Segment:
    return SAMPLES.segment


@st.composite
def damaged(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A valid file with some damage."""
    content = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        # Damage near the ends, in headers and footers, finds most.
        at = draw(st.sampled_from([at, min(at, 64), max(0, len(content) - 1 - at % 512)]))
        kind = draw(st.sampled_from(["flip", "set", "cut", "put", "double", "digits"]))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and content:
            content[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x2C, 0x7B]))
        elif kind == "cut":
            del content[at : at + draw(st.sampled_from([1, 8, 100, len(content)]))]
        elif kind == "put":
            content[at:at] = draw(st.binary(min_size=1, max_size=12))
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 60))]
        elif kind == "digits":
            places = [i for i, c in enumerate(content) if 0x30 <= c <= 0x39]
            if places:
                place = places[draw(st.integers(0, len(places) - 1))]
                number = draw(st.sampled_from(_NUMBERS))
                content[place : place + 1] = number.encode()
    return bytes(content)


_NUMBERS: Final = (
    "0", "-1", "1e400", "NaN", "-0.0", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "4294967296", "1e-320", "null", "true", '"x"', "[]", "{}", "0/0",
)  # fmt: skip


def _targets() -> Iterator[Target]:
    manifest = (ManifestError,)
    for kind, samples in SAMPLES.manifests.items():
        made_up = made_up_text(kind) if kind != ".parquet" else made_up_tables(kind="manifest")
        contents = damaged(samples) | made_up
        yield Target(f"manifest {kind}", _manifest(kind), manifest, contents)
    yield Target(
        "boxes .csv", _boxes(".csv"), (BoxesError,),
        damaged(SAMPLES.boxes[".csv"]) | made_up_text("boxes"),
    )  # fmt: skip
    yield Target(
        "boxes .parquet", _boxes(".parquet"), (BoxesError,),
        damaged(SAMPLES.boxes[".parquet"]) | made_up_tables(kind="boxes"),
    )  # fmt: skip
    # One strategy per file: Hypothesis warns of a strategy that takes long to print.
    tracks = st.one_of(*(damaged([file]) for file in SAMPLES.tracks), made_up_tables(kind="tracks"))
    yield Target("track file", _track, (UsageError,), tracks)
    rows = damaged(SAMPLES.videos) | made_up_tables(kind="videos")
    yield Target("videos table", _videos_table, (UsageError,), rows)
    unpack = {
        "decode_answer": (lambda c, _: decode_answer(c), SAMPLES.plans),
        "unpack_windows": (lambda c, _: unpack_windows(c, _segment()), SAMPLES.windows),
        "unpack_landmarks": (lambda c, _: unpack_landmarks(c, _segment()), SAMPLES.landmarks),
    }
    for name, (read, samples) in unpack.items():
        yield Target(name, read, (ValueError,), damaged(samples) | st.binary(max_size=200))


TARGETS: Final = tuple(_targets())

if __name__ == "__main__":
    sys.exit(main())
