"""A decoding child that does what a broken or captured decoder might do.

Chosen by what the video's uri begins with.
"""

import json
import sys
import time
from multiprocessing.connection import Connection


def misbehave(connection: Connection) -> None:
    connection.recv()
    connection.send_bytes(b"P0")
    while True:
        _, argument = connection.recv()
        what = getattr(argument, "uri", None) or argument.video.uri
        if what.startswith("silent"):
            time.sleep(600)
        elif what.startswith("busy"):
            while True:
                connection.send_bytes(b"P1")
                time.sleep(0.05)
        elif what.startswith("large"):
            hoard = [bytearray(b"x" * (1 << 20)) for _ in range(600)]
            time.sleep(600 + len(hoard))
        elif what.startswith("exit"):
            sys.stderr.write("out of registers\n")
            sys.exit(7)
        elif what == "a piece without a seam":
            connection.send_bytes(b"W" + windows_without_a_seam())
        else:
            connection.send_bytes(ANSWERS[what])


def windows_without_a_seam() -> bytes:
    from segments import make_segment, make_windows

    from transforms.storage.record_codec import pack_windows

    return pack_windows(make_windows(make_segment(), 1))


ANSWERS = {
    "no kind": b"",
    "unknown kind": b"?yz",
    "no JSON": b"V{",
    "half an error": b"V" + json.dumps({"reason": "x"}).encode(),
    "no record": b"D" + b"\x80\x04K\x01.",
    "a list": b"D[]",
    "a piece of nothing": b"W",
}

if __name__ == "__main__":
    misbehave(Connection(int(sys.argv[1])))
