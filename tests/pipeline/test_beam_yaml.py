"""The Beam YAML pipeline of the documentation: run here, and translated for Dataflow."""

import json
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam import typehints
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import environments
from test_dataflow_translation import BEAMS, GROUP_BY_KEY, IMAGE

from facetracks import AnnotateRows
from pipeline.annotate_rows import _row_type
from schemas.errors import ManifestError, UsageError
from schemas.videos import VIDEO_SCHEMA
from transforms.storage.output_tables import read_tracks

pytest.importorskip("docstring_parser", reason="needs the extra: yaml")

FILE = Path(__file__).parents[2] / "docs" / "annotate.yaml"


@pytest.fixture()
def variables(faceless_clip, tmp_path) -> dict[str, str]:
    """A manifest of a clip with boxes, in two ranges, and of one that is missing."""
    rows = [f"{frame / 25},20,10,60,50" for frame in range(50)]
    (tmp_path / "boxes.csv").write_text("\n".join(["pts_seconds,x0,y0,x1,y1", *rows]))
    clip = {"uri": str(faceless_clip), "boxes": str(tmp_path / "boxes.csv")}
    rows = [
        clip | {"video_id": "begin", "start_seconds": None, "stop_seconds": 0.2},
        clip | {"video_id": "later", "start_seconds": 0.2, "stop_seconds": 0.4},
        {"uri": "/none.mp4"},
    ]
    manifest = tmp_path / "corpus.parquet"
    pq.write_table(pa.Table.from_pylist(rows), manifest)
    return {"manifest": str(manifest), "output": str(tmp_path / "out")}


def test_it_runs(variables):
    from apache_beam.yaml import main

    main.run([
        f"--yaml_pipeline_file={FILE}", f"--jinja_variables={json.dumps(variables)}",
        "--runner=FnApiRunner",
    ])  # fmt: skip
    (file,) = Path(variables["output"]).glob("statuses.parquet*")
    rows = sorted(pq.read_table(file).to_pylist(), key=lambda row: row["video_id"])
    assert [tuple(row.values()) for row in rows] == [
        ("begin", "ok", None, 5),
        ("later", "ok", None, 5),
        ("none.mp4", "failed", "not_found", 0),
    ]
    assert read_tracks(variables["output"]).num_rows == 10


def test_translated_for_dataflow(variables):
    """Every facetracks step runs in the image; grouping and state use deterministic keys."""
    from apache_beam.yaml.yaml_transform import expand_pipeline

    options = PipelineOptions(BEAMS[1:])
    pipeline = beam.Pipeline(runner="FnApiRunner", options=options)
    expand_pipeline(pipeline, FILE.read_text().replace("{{ manifest }}", variables["manifest"]))
    proto, context = pipeline.to_runner_api(
        return_context=True,
        default_environment=environments.DockerEnvironment.from_container_image(IMAGE),
    )
    names = {t.unique_name: t for t in proto.components.transforms.values()}
    ours = {name: t for name, t in names.items() if "AnnotateRows/Annotate/" in name}
    for stage in ("DecodeWindows", "StabilizeTracks", "WriteTracks", "AccountVideos"):
        assert any(f"/{stage}/" in name for name in ours)
    for transform in ours.values():
        if transform.environment_id:
            environment = proto.components.environments[transform.environment_id]
            assert IMAGE.encode() in environment.payload
        if transform.spec.urn == GROUP_BY_KEY:
            (pcoll,) = transform.inputs.values()
            coder = context.coders.get_by_id(proto.components.pcollections[pcoll].coder_id)
            assert coder.key_coder().is_deterministic()


def test_rows_say_what_is_wrong_with_them(tmp_path):
    with (
        pytest.raises(ManifestError, match=r"name='x'.*uri is None, expected a path or URL"),
        beam.Pipeline(runner="FnApiRunner") as pipeline,
    ):
        _ = pipeline | beam.Create([beam.Row(name="x")]) | AnnotateRows(str(tmp_path / "out"))
    with pytest.raises(UsageError, match=r"speed.*expected some of .*stabilizer"):
        AnnotateRows("out", speed=3)


def test_the_rows_have_the_columns_of_the_videos_table():
    names, types = zip(*_row_type()._fields, strict=True)
    assert list(names) == VIDEO_SCHEMA.names
    assert types[names.index("frames_decoded")] is int
    assert types[names.index("duration_seconds")] == typehints.Optional[float]
