"""What a person can do about each reason in the videos table."""

from __future__ import annotations

from typing import Final

_AGAIN: Final = "The same `annotate` command does it again"

#: For each reason of `schemas.videos.REASONS`.
ADVICE: Final[dict[str, str]] = {
    "no_face": "Nothing, where nobody is in it. Else look whether faces are smaller than 20 px, "
    "try another --detector, or give `boxes` in a manifest.",
    "not_found": f"Look for a moved or misspelt file. {_AGAIN} once it is there.",
    "no_match": "Look at the folder or pattern, and quote patterns in the shell.",
    "protocol_refused": "Allow the protocol with --allow-protocols, if you trust where it leads.",
    "unreadable": f"Look at permissions, credentials and the network. {_AGAIN}.",
    "empty": "Copy or download it again.",
    "not_a_video": "Open it in a player. If that shows it, convert it: ffmpeg -i IN OUT.mp4.",
    "format_refused": "Give the videos that the list names, not the list.",
    "encrypted": "Decrypt it, or get it without protection.",
    "no_video_stream": "It has sound only. Leave it out, or name another stream with --stream.",
    "no_frames": "Copy it again; if a player shows it, convert it: ffmpeg -i IN OUT.mp4.",
    "empty_range": "Mend start_seconds and stop_seconds in the manifest: they count from the first "
    "frame.",
    "bad_packets": "The rest is annotated; lost_pts says what is missing. A better copy gives all.",
    "truncated": "The rest is annotated. Finish the copy or download, and annotate again.",
    "decoder_error": "Convert it: ffmpeg -i IN OUT.mp4, and annotate that.",
    "decoder_hung": "--retry decoder_hung with a larger --stall-seconds, if the machine was busy.",
    "decoder_crashed": "--retry decoder_crashed once; if it stays, convert it with ffmpeg.",
    "time_limit": "--retry time_limit with a larger --max-slowness, if the machine was busy.",
    "memory_limit": "--retry memory_limit with a larger --max-memory-mb.",
    "pixel_limit": "--retry pixel_limit with a larger --max-pixels, if you trust the file.",
    "bad_boxes": "Mend the boxes file as the message says.",
    "segment_lost": f"{_AGAIN}.",
}
