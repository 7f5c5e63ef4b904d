"""The values of `reason`. Imports nothing: decoding children need it."""

from __future__ import annotations

from typing import Final

#: The values that `reason` can take, with their meaning.
REASONS: Final[dict[str, str]] = {
    "no_face": "ok, but no face was found in any frame",
    "not_found": "no such file or object",
    "no_match": "a pattern or folder that holds no video",
    "protocol_refused": "its URL uses a protocol that is not allowed",
    "unreadable": "the bytes could not be read (permission, protocol, network)",
    "empty": "the file has no bytes",
    "not_a_video": "no container or stream that the decoder knows",
    "format_refused": "a format that FFmpeg reads and facetracks refuses: playlists, file lists",
    "encrypted": "the pictures are encrypted",
    "no_video_stream": "a container without a video stream",
    "no_frames": "a video stream from which no frame could be decoded",
    "empty_range": "no frame is in the requested range",
    "bad_packets": "some frames could not be decoded, or only in part",
    "truncated": "the file is shorter than its header states; its frames are annotated",
    "decoder_error": "the decoder failed",
    "decoder_hung": "the decoder made no progress and was killed",
    "decoder_crashed": "the decoder crashed",
    "time_limit": "decoding took too long for the length of the video",
    "memory_limit": "decoding needed too much memory",
    "pixel_limit": "the frames are larger than allowed",
    "bad_boxes": "the boxes given for this video cannot be used",
    "segment_lost": "a segment of the video never arrived",
}
