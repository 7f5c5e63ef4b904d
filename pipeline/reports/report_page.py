"""The page of `facetracks report`: one HTML file that needs nothing else.

Whatever comes from tables is escaped, or travels as JSON that a small script turns into text
nodes. A content security policy lets no other script run, and no connection be made.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from pipeline.reports.histograms import Histogram
from schemas.reasons import REASONS

_PAGE: Final = Path(__file__).with_name("page")
_BAR_AREA: Final = 300, 110  # of a chart
_CHART_LABELS: Final = 6
#: What a person would type, in advice.
_CODE: Final = re.compile(r"`[^`]+`|--[a-z-]+|ffmpeg -i IN OUT\.mp4")


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a row: its name, its title, and its class where the table shows it."""

    name: str
    title: str
    column: str = ""


#: The values of a row, in order.
FIELDS: Final = (
    Field("video_id", "video", "id"),
    Field("status", "status", "status"),
    Field("reason", "reason", "extra reason"),
    Field("frames", "frames", "n"),
    Field("faces", "faces", "n"),
    Field("rows", "rows", "n extra"),
    Field("score", "mean score", "n extra"),
    Field("spread", "spread, % of the face", "n extra"),
    Field("jitter", "jitter, % of the face", "n extra"),
    Field("size", "size of the face, px"),
    Field("seconds", "seconds of video"),
    Field("fps", "frames per second"),
    Field("width", "width, px"),
    Field("height", "height, px"),
    Field("codec", "codec"),
    Field("work", "seconds of work"),
    Field("message", "message"),
    Field("uri", "input"),
)
_SHORT: Final = {"spread": "spread %", "jitter": "jitter %", "score": "score"}

_AGAIN: Final = "run the same `annotate` command again"

#: What to do, for each reason of `schemas.reasons.REASONS`.
ADVICE: Final[dict[str, str]] = {
    "no_face": "Nothing to do if it shows no faces. If it does, check whether they are smaller "
    "than 20 px, try another --detector, or give `boxes` in a manifest.",
    "not_found": f"Check whether the file was moved or misspelt, then {_AGAIN}.",
    "no_match": "Check the folder or pattern; quote patterns in the shell.",
    "protocol_refused": "Allow the protocol with --allow-protocols if you trust the source.",
    "unreadable": f"Check permissions, credentials and the network, then {_AGAIN}.",
    "empty": "Copy or download it again.",
    "not_a_video": "Open it in a player. If it plays, convert it: ffmpeg -i IN OUT.mp4.",
    "format_refused": "Give the videos that the list names, not the list.",
    "encrypted": "Decrypt it, or get an unencrypted copy.",
    "no_video_stream": "It has only sound, or --stream names none of its video streams.",
    "no_frames": "Copy it again. If it plays in a player, convert it: ffmpeg -i IN OUT.mp4.",
    "empty_range": "Correct start_seconds and stop_seconds in the manifest: they are counted from "
    "the first frame.",
    "bad_packets": "The other frames are annotated; lost_pts lists the missing ones. Annotate an "
    "undamaged copy if there is one.",
    "truncated": "The frames in the file are annotated. Complete the copy or download, then "
    f"{_AGAIN}.",
    "decoder_error": "Convert it, ffmpeg -i IN OUT.mp4, and annotate the result.",
    "decoder_hung": "If the machine was busy: --retry decoder_hung with a larger --stall-seconds.",
    "decoder_crashed": "--retry decoder_crashed once. If it crashes again, convert it with ffmpeg.",
    "time_limit": "If the machine was busy: --retry time_limit with a larger --max-slowness.",
    "memory_limit": "--retry memory_limit with a larger --max-memory-mb.",
    "pixel_limit": "--retry pixel_limit with a larger --max-pixels, if you trust the file.",
    "bad_boxes": "Correct the boxes file as the message says.",
    "segment_lost": f"{_AGAIN.capitalize()}.",
}


@dataclass(frozen=True, slots=True)
class TrackPicture:
    """A track at its worst frame: a data URI or None, and what to say of it."""

    picture: str | None
    video_id: str
    face_id: int
    seconds: float
    figure: str


def json_for_page(value: Any) -> str:
    """JSON that may stand in a script element: it cannot end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def write_page(
    out: TextIO,
    *,
    title: str,
    tiles: Mapping[str, str],
    reasons: Sequence[tuple[str, int]],
    rows: Iterable[str],
    pictures: Iterable[tuple[int, str]],
    picture_note: str,
    histograms: Sequence[Histogram],
    worst: Mapping[str, Sequence[TrackPicture]],
    speeds: Sequence[tuple[str, float, float | None]],
    speed_note: str,
    facts: Mapping[str, str],
    record: Mapping[str, Any],
) -> None:
    """Writes the page, row by row.

    Args:
        out: where to.
        title: the name of the output.
        tiles: figures of the whole, by what they are.
        reasons: reason, how many inputs ended for it.
        rows: one JSON array an input, with the values of FIELDS.
        pictures: number of a row, data URI of its thumbnail.
        picture_note: which rows have one.
        histograms: of all rows of the tracks; those without a value are left out.
        worst: pictures of tracks, by what they are the worst of.
        speeds: stage, seconds of work, frames a second.
        speed_note: what they were measured on.
        facts: provenance in short.
        record: run.json.
    """
    script = (_PAGE / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = ("img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'")
    policy = "; ".join(("default-src 'none'", *allowed))
    style = (_PAGE / "report.css").read_text(encoding="utf-8")
    out.write(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)} - facetracks report</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{_text(title)}</h1>\n"
        f'<p class="muted">{_text(facts.get("made", ""))}</p>\n{_tiles(tiles)}'
        f"{_reasons(reasons)}{_table(picture_note)}{_charts(histograms)}{_worst(worst)}"
        f"{_speeds(speeds, speed_note)}{_provenance(facts, record)}</main>\n"
        '<dialog id="details"></dialog>\n'
    )
    fields = [asdict(field) for field in FIELDS]
    out.write(f'<script type="application/json" id="fields">{json_for_page(fields)}</script>\n')
    _stream(out, "rows", "[", rows, "]")
    pairs = (f"{json.dumps(str(row))}:{json_for_page(uri)}" for row, uri in pictures)
    _stream(out, "pictures", "{", pairs, "}")
    out.write(f"<script>{script}</script>\n</body>\n</html>\n")


def _stream(out: TextIO, name: str, before: str, parts: Iterable[str], after: str) -> None:
    out.write(f'<script type="application/json" id="{name}">{before}')
    for number, part in enumerate(parts):
        out.write(f"{',' if number else ''}\n{part}")
    out.write(f"{after}</script>\n")


def _text(value: object) -> str:
    return html.escape(str(value))


def _as_code(found: re.Match[str]) -> str:
    return f"<code>{found[0].strip('`')}</code>"


def _tiles(tiles: Mapping[str, str]) -> str:
    made = "".join(
        f'<div class="tile"><b>{_text(value)}</b>{_text(name)}</div>\n'
        for name, value in tiles.items()
    )
    return f'<div class="tiles">\n{made}</div>\n'


def _reasons(reasons: Sequence[tuple[str, int]]) -> str:
    if not reasons:
        return "<h2>What went wrong</h2>\n<p>Nothing: every input ended ok, with faces.</p>\n"
    lines = "".join(
        f'<tr><td><button class="link" data-reason="{_text(reason)}">{_text(reason)}</button></td>'
        f'<td class="number">{count}</td><td class="extra-column">'
        f"{_text(REASONS.get(reason, ''))}</td>"
        f"<td>{_CODE.sub(_as_code, _text(ADVICE.get(reason, '')))}</td></tr>\n"
        for reason, count in reasons
    )
    return (
        '<h2>What went wrong</h2>\n<div class="scroll"><table><thead><tr><th>reason</th>'
        '<th class="number">inputs</th><th class="extra-column">what it means</th>'
        "<th>what to do</th></tr></thead>"
        f"<tbody>\n{lines}</tbody></table></div>\n"
    )


def _table(note: str) -> str:
    heads = "".join(
        f'<div class="{f.column}" role="columnheader"><button data-sort="{f.name}">'
        f"{_text(_SHORT.get(f.name, f.title))}</button></div>"
        for f in FIELDS
        if f.column
    )
    return (
        '<h2 id="videos">Inputs</h2>\n<div class="controls">'
        '<input type="search" id="search" placeholder="search ids, inputs, messages" '
        'aria-label="search">'
        '<select id="status" aria-label="status"><option value="">any status</option></select>'
        '<select id="reason" aria-label="reason"><option value="">any reason</option></select>'
        '<span id="told" class="muted" role="status"></span></div>\n'
        '<noscript><p class="failed">This table needs scripts, which this browser has switched '
        "off.</p></noscript>\n"
        '<div class="grid" role="table"><div class="scroller" id="scroller">'
        f'<div class="row head" role="row"><div></div>{heads}</div>'
        '<div class="body" id="body"></div></div></div>\n'
        f'<p class="muted">{_text(note)}</p>\n'
    )


def _charts(histograms: Sequence[Histogram]) -> str:
    made = "".join(_chart(h) for h in histograms if h.total)
    if not made:
        return "<h2>All rows of the tracks</h2>\n<p>There are none.</p>\n"
    return f'<h2>All rows of the tracks</h2>\n<div class="charts">\n{made}</div>\n'


def _chart(histogram: Histogram) -> str:
    width, height = _BAR_AREA
    bins, most = len(histogram.counts), max(1, int(histogram.counts.max()))
    step = width / bins
    bars = []
    for number, count in enumerate(histogram.counts.tolist()):
        low, high = histogram.edges[number], histogram.edges[number + 1]
        tall = height * count / most
        bars.append(
            f'<rect x="{step * number + 0.5:.1f}" y="{height - tall:.1f}" width="{step - 1:.1f}" '
            f'height="{tall:.1f}"><title>{low:g} to {high:g}{_text(histogram.unit)}: {count} rows, '
            f"{count / histogram.total:.1%}</title></rect>"
        )
    every = max(1, round(bins / _CHART_LABELS))
    labels = "".join(
        f'<text x="{step * number:.1f}" y="{height + 13}" text-anchor="{_anchor(number, bins)}">'
        f"{histogram.edges[number]:g}</text>"
        for number in range(0, bins + 1, every)
    )
    missing = f", {histogram.missing} rows without" if histogram.missing else ""
    name = f"{histogram.title}{', ' + histogram.unit.strip() if histogram.unit.strip() else ''}"
    return (
        f'<figure><figcaption>{_text(name)} <span class="muted">({histogram.total} rows{missing})'
        f'</span></figcaption><svg viewBox="0 0 {width} {height + 18}" role="img" '
        f'aria-label="histogram of {_text(name)}"><line x1="0" x2="{width}" y1="{height}" '
        f'y2="{height}"></line>{"".join(bars)}{labels}</svg></figure>\n'
    )


def _anchor(number: int, bins: int) -> str:
    return "start" if number == 0 else "end" if number == bins else "middle"


def _worst(worst: Mapping[str, Sequence[TrackPicture]]) -> str:
    parts = []
    for name, tracks in worst.items():
        if not tracks:
            continue
        figures = "".join(
            "<figure>"
            + (
                f'<img src="{_text(track.picture)}" alt="" loading="lazy">'
                if track.picture
                else '<div class="no-picture">no picture: the video cannot be read now</div>'
            )
            + f"<figcaption>{_text(track.video_id)}<br>"
            f"face {track.face_id}, {track.seconds:.2f} s: "
            f"<b>{_text(track.figure)}</b></figcaption></figure>\n"
            for track in tracks
        )
        parts.append(f'<h2>{_text(name)}</h2>\n<div class="tracks">\n{figures}</div>\n')
    return "".join(parts)


def _speeds(speeds: Sequence[tuple[str, float, float | None]], note: str) -> str:
    lines = "".join(
        f'<tr><td>{_text(stage)}</td><td class="number">{seconds:.2f}</td><td class="number">'
        f"{'-' if rate is None else f'{rate:,.0f}'}</td></tr>\n"
        for stage, seconds, rate in speeds
    )
    return (
        '<h2>Speed</h2>\n<div class="scroll"><table><thead><tr><th>stage</th><th class="number">'
        'seconds of work</th><th class="number">frames/s</th></tr></thead>'
        f'<tbody>\n{lines}</tbody></table></div>\n<p class="muted">{_text(note)}</p>\n'
    )


def _provenance(facts: Mapping[str, str], record: Mapping[str, Any]) -> str:
    items = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n"
        for name, value in facts.items()
        if name != "made"
    )
    whole = _text(json.dumps(dict(record), indent=2, ensure_ascii=False))
    return (
        f"<h2>Provenance</h2>\n<dl>\n{items}</dl>\n<details><summary>run.json</summary>"
        f"<pre>{whole}</pre></details>\n"
    )
