"""Prints the contents of an export, as read by FiftyOne's own importer, as JSON.

    python tests/pipeline/exports/fiftyone_reader.py FOLDER

It needs FiftyOne. The importer is the one behind `fiftyone.Dataset.from_dir`. Unlike a
`fiftyone.Dataset`, it needs no MongoDB.
"""

from __future__ import annotations

import json
import sys

import fiftyone
from fiftyone.utils.data import FiftyOneVideoLabelsDatasetImporter


def main() -> None:
    videos = {}
    with FiftyOneVideoLabelsDatasetImporter(sys.argv[1]) as importer:
        for path, _, _, frames in importer:
            videos[path] = {
                number: {
                    "indices": [face.index for face in labels["detections"].detections],
                    "labels": [face.label for face in labels["landmarks"].keypoints],
                    "boxes": [face.bounding_box for face in labels["detections"].detections],
                    "point_indices": [face.index for face in labels["landmarks"].keypoints],
                    "points": [face.points for face in labels["landmarks"].keypoints],
                    "scores": [face.confidence for face in labels["detections"].detections],
                }
                for number, labels in frames.items()
            }
    json.dump({"version": fiftyone.__version__, "videos": videos}, sys.stdout)


if __name__ == "__main__":
    main()
