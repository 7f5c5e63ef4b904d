# %% [markdown]
# # Landmark tracks of a folder of videos
#
# Put some videos into a folder `videos` beside this file. The cells run from top to bottom in
# any editor that supports `# %%`; [api.md](api.md) documents each function.

# %%
from pathlib import Path

import apache_beam as beam
import av
import numpy as np

import facetracks
from facetracks import LANDMARKS, AnnotateSettings, AnnotateVideos

# %% [markdown]
# ## Annotate all videos
# Videos that an earlier run finished are skipped.

# %%
settings = AnnotateSettings(device="auto", stabilizer="rts")
summary = facetracks.annotate("videos", "out", settings)
print(summary.statuses, f"{summary.frames} frames, {summary.face_frames} rows of tracks")

# %% [markdown]
# ## The status of every input

# %%
videos = facetracks.read_videos("out")
for row in videos.select(["video_id", "status", "reason", "faces"]).to_pylist():
    print(row)

# %% [markdown]
# ## The tracks: one row per face per frame
# `tracks.to_pandas()` and `polars.from_arrow(tracks)` convert the table to data frames.

# %%
tracks = facetracks.read_tracks("out")
landmarks_px = np.stack([np.stack(tracks[axis].to_numpy()) for axis in "xy"], axis=-1)
print(landmarks_px.shape)  # (rows, 68, 2)

# %% [markdown]
# Mouth opening: height over width of the inner lips.

# %%
lip = landmarks_px[:, LANDMARKS.inner_lip]
height = np.linalg.norm(lip[:, 2] - lip[:, 6], axis=-1)
width = np.linalg.norm(lip[:, 0] - lip[:, 4], axis=-1)
for face in np.unique(tracks["face_id"].to_numpy()):
    opening = (height / width)[tracks["face_id"].to_numpy() == face]
    print(f"face {face}: mouth {opening.min():.2f} to {opening.max():.2f}")

# %% [markdown]
# ## One video, one picture
# Without an output folder: a table for a video, arrays for a picture.

# %%
first = videos["uri"][0].as_py()
clip = facetracks.annotate_clip(first, settings)
print(clip.num_rows, "rows")

with av.open(first) as container:
    picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
faces = facetracks.align(picture)
print(len(faces), "faces,", faces.landmarks_px.shape)

# %% [markdown]
# ## Crops, redaction, other tools
# Clips with level eyes and their transforms; a copy with hidden faces; COCO keypoints.

# %%
rows = facetracks.read_track_file(f"out/tracks/{videos['video_id'][0].as_py()}.parquet")
crops = facetracks.crop(first, rows, "faces", size_px=128)
hidden = facetracks.redact(first, rows, Path("hidden.mp4"))
exported = facetracks.export_tracks("out", "out-coco", "coco")
print(crops.crops, "crops,", hidden, "redacted frames,", exported.rows, "rows in COCO")

# %% [markdown]
# ## A step of your own pipeline
# With a filter before and a count after, on any runner.

# %%
with beam.Pipeline(runner="FnApiRunner") as pipeline:
    statuses = (
        pipeline
        | beam.Create(videos["uri"].to_pylist())
        | "OnlyMp4" >> beam.Filter(lambda uri: uri.endswith(".mp4"))
        | AnnotateVideos("out-of-pipeline", settings)
        | "Status" >> beam.Map(lambda row: row["status"])
        | "Count" >> beam.combiners.Count.PerElement()
    )
    _ = statuses | "Print" >> beam.Map(print)
