"""Readers of labelled faces, each of a published layout.

| module | data set | gives |
| --- | --- | --- |
| ibug_300vw | 300VW: vid.avi and annot/*.pts, or imgs/ | videos; categories 1 to 3 |
| snap_2dfe | SNaP-2DFe: recordings by subject, movement, expression | videos |
| talking_face | Talking Face: pictures and points of another layout | a video, 7 landmarks |
| ibug_300w | 300W: .pts beside pictures; subsets by folder | stills |
| points | .pts files, and the CSV of ytf68 | stills |
| dlib_xml | dlib's image metadata | stills, several faces each |
| pseudo68 | teacher labels (.npz) of a video | faces of some frames |

A video is a `LabelledVideo`, which reads frames and labels lazily; a still is a `LabelledFace`,
whose picture is read by `load`; a `LabelledSet` holds both kinds. `pipeline.data.labelled_tracks`
reads a track Parquet and its video into the same classes.

Broken or missing annotations raise AnnotationError, which names file and line. With a list as
`skipped`, readers leave such faces out instead and append the message to the list.
"""
