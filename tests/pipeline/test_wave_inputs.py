import apache_beam as beam
import pytest

from pipeline.runner_options import runner_options
from pipeline.waves import WaveInputs
from transforms.run_metrics import count


def _seen(number: int) -> int:
    count("sum", number)
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_a_pipeline_runs_again_with_other_inputs(workers):
    options, _ = runner_options([], workers)
    pipeline, numbers = beam.Pipeline(options=options), WaveInputs(int)
    _ = pipeline | numbers | beam.Reshuffle() | beam.Map(_seen)
    sums = []
    for wave in ([1, 2], [], [3, 4, 5]):
        numbers.give(wave)
        result = pipeline.run()
        result.wait_until_finish()
        sums.append([one.result for one in result.metrics().query()["counters"]])
    assert sums == [[3], [], [12]]
