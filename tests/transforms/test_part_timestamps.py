import apache_beam as beam
from apache_beam.transforms.window import GlobalWindow, TimestampedValue
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from segments import box_at, make_part, make_segment
from stages import outputs_of

from transforms.stabilize_tracks import SaveParts
from transforms.storage.run_output import RunOutput


class _Timestamp(beam.DoFn):
    def process(self, element, timestamp=beam.DoFn.TimestampParam):
        yield timestamp


@beam.ptransform_fn
def _saved_timestamps(elements, run_output):
    """Like BatchElements: batches and their results have the timestamp of the window's end."""
    end = GlobalWindow().max_timestamp()
    late = elements | "Batched" >> beam.Map(TimestampedValue, end)
    return late | SaveParts(run_output) | "Timestamp" >> beam.ParDo(_Timestamp())


def test_parts_are_before_the_timer_of_stabilize_tracks(tmp_path):
    run_output = RunOutput(str(tmp_path), {})
    landmarks = make_part(make_segment(), {0: {0: box_at(3)}})
    assert outputs_of([landmarks], _saved_timestamps(run_output)) == [MIN_TIMESTAMP]
