"""Advice for each reason of the videos table."""

from __future__ import annotations

from typing import Final

_AGAIN: Final = "run the same `annotate` command again"

#: For each reason of `schemas.reasons.REASONS`.
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
