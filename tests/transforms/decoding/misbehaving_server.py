"""A decoding child that behaves like a broken or captured decoder.

The prefix of the video's uri selects the behaviour.
"""

import os
import signal
import sys
import time
from multiprocessing.connection import Connection

import msgspec

from transforms.decoding.messages import Done, Progress, Ready, Request, Windows, encode_answer


def misbehave(connection: Connection) -> None:
    connection.recv()
    connection.send_bytes(encode_answer(Ready()))
    while True:
        request, argument = connection.recv()
        if request == Request.LOAD:
            connection.send_bytes(encode_answer(Done()))
            continue
        what = getattr(argument, "uri", None) or argument.video.uri
        if what.startswith("silent"):
            time.sleep(600)
        elif what.startswith("half an answer"):
            os.write(connection.fileno(), (100).to_bytes(4, "big") + b"x" * 10)
            time.sleep(600)
        elif what.startswith("a trickle"):
            os.write(connection.fileno(), (10000).to_bytes(4, "big"))
            while True:
                os.write(connection.fileno(), b"x")
                time.sleep(0.05)
        elif what.startswith("busy"):
            while True:
                connection.send_bytes(encode_answer(Progress(1)))
                time.sleep(0.05)
        elif what.startswith("large"):
            hoard = [bytearray(b"x" * (1 << 20)) for _ in range(600)]
            time.sleep(600 + len(hoard))
        elif what.startswith("exit"):
            sys.stderr.write("out of registers\n")
            sys.exit(7)
        elif what.startswith("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif what.startswith("cut off"):
            os.write(connection.fileno(), (100).to_bytes(4, "big") + b"x" * 10)
            sys.exit(8)
        elif what == "a piece without a seam":
            connection.send_bytes(encode_answer(Windows(last=False), windows_without_a_seam()))
        else:
            connection.send_bytes(ANSWERS[what])


def windows_without_a_seam() -> bytes:
    from tests.transforms.segments import make_segment, make_windows
    from transforms.storage.record_codec import pack_windows

    return pack_windows(make_windows(make_segment(), 1))


def framed(record: object, body: bytes = b"") -> bytes:
    """Any record, as an honest child would send its own."""
    content = msgspec.msgpack.encode(record)
    content = len(content).to_bytes(8, "little") + content
    return content + bytes(-len(content) % 8) + body


METADATA = {
    "codec": "h264",
    "pixel_format": "yuv420p",
    "time_base": "1/25",
    "average_fps": "25",
    "frames_expected": 10,
    "duration_seconds": 1.0,
    "sample_aspect_ratio": "1",
}
PLAN = {"type": "plan", "metadata": METADATA, "cuts": [[None, None, None]]}
FRAME = {
    "pts": 0, "rotation_deg": 0, "mirrored": False, "bits": 8, "chroma": None,
    "sides_px": [[4, 6]], "to_rgb": None,
}  # fmt: skip
ANSWERS = {
    "no record": b"",
    "half a record": framed(PLAN)[:40],
    "a size beyond the end": (1 << 60).to_bytes(8, "little") + b"x",
    "a pickle": b"\x80\x04K\x01.",
    "an unknown record": framed({"type": "spell"}),
    "a list": framed([]),
    "half an error": framed({"type": "refusal", "reason": "no_frames"}),
    "an unknown reason": framed({"type": "refusal", "reason": "x", "message": "y"}),
    "no plan": framed({"type": "windows", "last": True}),
    "a plan of nothing": framed(PLAN | {"cuts": []}),
    "a long duration": framed(PLAN | {"metadata": METADATA | {"duration_seconds": "long"}}),
    "an endless duration": framed(
        PLAN | {"metadata": METADATA | {"duration_seconds": float("inf")}}
    ),
    "no time": framed(PLAN | {"metadata": METADATA | {"time_base": "1/0"}}),
    "a time of many digits": framed(PLAN | {"metadata": METADATA | {"time_base": "1" * 9999}}),
    "cuts that fall": framed(PLAN | {"cuts": [[None, None, 50], [40, 50, 30], [20, 30, None]]}),
    "a frame without its pixels": framed({"type": "frames", "frame": FRAME}),
    "a frame of a billion pixels": framed(
        {"type": "frames", "frame": FRAME | {"sides_px": [[2**15, 2**15]]}}, b"x"
    ),
    "a piece of nothing": framed({"type": "windows", "last": False}),
}

if __name__ == "__main__":
    misbehave(Connection(int(sys.argv[1])))
