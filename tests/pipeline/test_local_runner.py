"""The local runner with elements that take long to encode."""

import subprocess
import sys
import time

import apache_beam as beam
from apache_beam.coders import Coder

from pipeline.runner_options import runner_options


class SlowValue(str):
    """A value whose encoding takes 0.5 s."""


class SlowCoder(Coder):
    def encode(self, value: SlowValue) -> bytes:
        time.sleep(0.5)
        return value.encode()

    def decode(self, encoded: bytes) -> SlowValue:
        return SlowValue(encoded.decode())


def with_value(name: str) -> tuple[str, SlowValue]:
    return name, SlowValue(f"value of {name}")


def test_buffers_are_flushed_between_elements_only():
    """In a separate process, because the runner can hang while it holds the GIL."""
    subprocess.run([sys.executable, __file__], timeout=120, check=True)


def run_with_slow_elements() -> None:
    beam.coders.registry.register_coder(SlowValue, SlowCoder)
    options, _ = runner_options([], workers=2)
    names = [f"video-{i}" for i in range(2)]

    def check(groups):
        expected = {name: [f"value of {name}"] for name in names}
        assert {name: list(values) for name, values in groups} == expected

    with beam.Pipeline(options=options) as pipeline:
        groups = (
            pipeline
            | beam.Create(names)
            | beam.Map(with_value).with_output_types(tuple[str, SlowValue])
            | beam.GroupByKey()
        )
        _ = groups | beam.combiners.ToList() | beam.Map(check)


if __name__ == "__main__":
    run_with_slow_elements()
