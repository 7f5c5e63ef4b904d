"""300VW (Shen et al. 2015): 114 videos of one face, every frame labelled.

    DIR/001/vid.avi                               or its frames: DIR/001/imgs/000001.jpg, ...
    DIR/001/annot/000001.pts, 000002.pts, ...     of frame 1, 2, ...

The test videos fall in three categories of rising difficulty; the other 50 are for training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from models.landmarks.datasets.labelled_face import AnnotationError, FaceOrigin, leaving_out_broken
from models.landmarks.datasets.labelled_video import LabelledSet, LabelledVideo, VideoFile
from models.landmarks.datasets.numbered_files import numbered_pictures, numbered_pts

#: The published test split (31, 19 and 14 videos): well-lit; other light; arbitrary conditions.
_VIDEOS: Final = {
    "1": "114 124 125 126 150 158 401 402 505 506 507 508 509 510 511 514 515 518 519 520 521 522 "
    "524 525 537 538 540 541 546 547 548",
    "2": "203 208 211 212 213 214 218 224 403 404 405 406 407 408 409 412 550 551 553",
    "3": "410 411 516 517 526 528 529 530 531 533 557 558 559 562",
}
#: The category of each test video.
CATEGORIES_300VW: Final = {
    video: category for category, videos in _VIDEOS.items() for video in videos.split()
}
SPLITS_300VW: Final = ("test", "train", "1", "2", "3", "all")


def read_300vw(
    folder: Path, split: str = "all", *, skipped: list[str] | None = None
) -> LabelledSet:
    """The videos of a folder that belong to a split: one of SPLITS_300VW.

    "1", "2" and "3" are the categories of the test videos; "train" is what is not among them.

    Raises:
        AnnotationError: the folder has no video of the split, or one lacks its frames or its
            annotations; with `skipped` such a video is left out instead.
    """
    found = {path.parent.name for name in ("vid.avi", "annot") for path in folder.glob(f"*/{name}")}
    if not found:
        raise AnnotationError(f"{folder}: got no */vid.avi, expected the layout of 300VW")
    categories = {name: CATEGORIES_300VW.get(name, "") for name in sorted(found)}
    wanted = [
        name
        for name, category in categories.items()
        if split in ("all", category) or split == ("test" if category else "train")
    ]
    if not wanted:
        raise AnnotationError(
            f"{folder}: got {len(found)} videos ({', '.join(sorted(found)[:5])}, ...), none of "
            f"split {split!r} of 300VW; split 'all' takes them all"
        )
    videos = []
    for name in wanted:
        with leaving_out_broken(skipped):
            origin = FaceOrigin(f"300vw/{split}", name, category=categories[name])
            videos.append(_video(folder / name, origin))
    return LabelledSet(f"300vw/{split}", videos=videos)


def _video(folder: Path, origin: FaceOrigin) -> LabelledVideo:
    file, pictures = folder / "vid.avi", folder / "imgs"
    if not file.is_file() and not pictures.is_dir():
        raise AnnotationError(f"{folder}: got neither vid.avi nor imgs, expected one of them")
    frames = VideoFile(file) if file.is_file() else numbered_pictures(pictures)
    return LabelledVideo(origin, frames, numbered_pts(folder / "annot"), every_frame=True)
