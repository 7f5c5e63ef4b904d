"""The options of `report`, `export`, `derive`, `compact` and `forget`, which take an OUTPUT."""

from __future__ import annotations

from pipeline.commands.argument_types import count
from pipeline.commands.command_parser import CommandParser
from schemas.choices import EXPORT_FORMATS


def add_report(parser: CommandParser) -> None:
    """write one HTML page about an output: inputs, failures, quality, speed

    Writes one HTML file that opens offline: one row per input, failures by reason with advice,
    histograms over all rows, the worst tracks as pictures, speeds and provenance. It shows faces:
    share it as you would the videos.

    examples:
        facetracks report OUT
        facetracks report s3://BUCKET/tracks --to report.html --thumbnails 50
    """
    add = parser.add_argument_group("input").add_argument
    add("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    add = parser.add_argument_group("output").add_argument
    add("--to", metavar="FILE.html", help="file to write (default: report.html in OUTPUT)")
    add(
        "--thumbnails",
        type=count,
        default=200,
        metavar="N",
        help="maximum number of inputs with a picture, spread over all inputs; with 0 no video is "
        "read",
    )


def add_export(parser: CommandParser) -> None:
    """write tracks in the formats of other tools

    Writes the tracks of an output in the format of another tool, with frames, times and pixels
    counted as that tool counts them: docs/exports.md.

    examples:
        facetracks export OUT --format openface --to OUT-openface
        facetracks export s3://BUCKET/tracks --format coco --to coco --video talk.mp4
    """
    add = parser.add_argument_group("input").add_argument
    add("tracks", metavar="OUTPUT", help="the output of `facetracks annotate`: a path or a URL")
    add(
        "--video",
        action="append",
        metavar="VIDEO_ID",
        help="only this video; may be given more than once",
    )
    add("--raw", action="store_true", help="the network's landmarks, not the stabilized ones")
    add = parser.add_argument_group("output").add_argument
    add(
        "--format",
        required=True,
        choices=EXPORT_FORMATS,
        metavar="FORMAT",
        help=f"one of {', '.join(EXPORT_FORMATS)}",
    )
    add("--to", required=True, metavar="FOLDER", help="the folder to write: a path or a URL")


def add_derive(parser: CommandParser) -> None:
    """write eye and mouth opening, blinks, movements and visibility, in tables beside the tracks

    Writes two tables per video below OUTPUT/derived: rows, with a row for each row of the tracks,
    and blinks. docs/derived.md defines them. A second run derives only what is missing or whose
    tracks have changed.

    examples:
        facetracks derive OUT
        facetracks derive s3://BUCKET/tracks --videos interview.mp4
    """
    add = parser.add_argument
    add("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    add("--videos", nargs="+", metavar="VIDEO_ID", help="only these videos, by their video_id")
    add("--overwrite", action="store_true", help="derive all videos again")


def add_compact(parser: CommandParser) -> None:
    """merge the files of many videos into few

    Merges the tracks and status rows of OUTPUT into Parquet files of about 256 MB below
    OUTPUT/compacted, sorted by video_id. All commands read both layouts; videos annotated later
    have their own files until the next compact. If interrupted, run the same command again. On an
    object store, make sure that no run writes to OUTPUT meanwhile.

    examples:
        facetracks compact OUT
        facetracks compact s3://BUCKET/tracks
    """
    parser.add_argument("output", metavar="OUTPUT", help="the output folder or URL of annotate")


def add_forget(parser: CommandParser) -> None:
    """remove everything that an output holds about some videos

    Removes everything that OUTPUT holds about these videos: track file, status row, staged parts,
    derived files, and report.html, which may show them. The videos themselves are kept. If
    interrupted, run the same command again. Exit status: 0 removed, 1 OUTPUT holds nothing about
    one of the ids.

    examples:
        facetracks forget OUT interview.mp4
        facetracks forget s3://BUCKET/tracks day1/a.mp4 day2/b.mp4
    """
    add = parser.add_argument
    add("output", metavar="OUTPUT", help="the output folder or URL of annotate")
    add("video_ids", nargs="+", metavar="VIDEO_ID", help="a video_id of the videos table")
