"""Simulates camera and encoder on clean frames: low light, noise, compression.

A rendered still is far cleaner than video as it is found, and a network that sees clean frames
hardly jitters. The ranges were chosen so that the tracks' jitter at rest spreads as it does on
real clips (`facetracks evaluate stabilizers --annotated` prints it).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]

#: Encoders, the option that sets their quality, and its range from good to poor.
_ENCODERS: Final = {"libx264": ("crf", 20, 34), "mpeg4": ("qscale", 3, 14)}
_SHARES: Final = {"": 0.4, "libx264": 0.4, "mpeg4": 0.2}


@dataclass(frozen=True, slots=True)
class Filming:
    """Parameters of the simulated camera and encoder.

    light: what is left of the pixel values.
    noise: standard deviation of each pixel's noise, in pixel values.
    encoder: FFmpeg's name of it; "" for none.
    quality: its quality, in its own unit.
    """

    light: float
    noise: float
    encoder: str = ""
    quality: int = 0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Filming:
        """Random parameters: a third with low light, any noise level, mostly encoded."""
        light = float(rng.choice([1.0, 1.0, rng.uniform(0.3, 0.8)]))
        noise = float(np.exp(rng.uniform(np.log(1.0), np.log(14.0))))
        encoder = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
        _, good, poor = _ENCODERS.get(encoder, ("", 0, 0))
        return cls(light, noise, encoder, int(rng.integers(good, poor + 1)))

    def film(self, frames: Sequence[Frame], fps: float, rng: np.random.Generator) -> list[Frame]:
        """The (H, W, 3) uint8 RGB frames as a file would give them back; H and W are even."""
        noisy = (self.light * frame + rng.normal(0, self.noise, frame.shape) for frame in frames)
        seen = [np.clip(frame, 0, 255).astype(np.uint8) for frame in noisy]
        return _encoded(seen, fps, self.encoder, self.quality) if self.encoder else seen


def _encoded(frames: Sequence[Frame], fps: float, encoder: str, quality: int) -> list[Frame]:
    """The frames through an encoder and back, on one thread: the same every time."""
    option = _ENCODERS[encoder][0]
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(encoder, rate=round(fps))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        if option == "crf":
            stream.options = {"crf": str(quality), "preset": "veryfast"}
        else:
            stream.options = {"qmin": str(quality), "qmax": str(quality)}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        container.streams.video[0].thread_type = "NONE"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
