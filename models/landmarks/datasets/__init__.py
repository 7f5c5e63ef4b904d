"""Readers of labelled faces, each of a published layout.

| module | data set | gives |
| --- | --- | --- |
| ibug_300vw | 300VW: vid.avi and annot/*.pts, or imgs/ | videos; categories 1 to 3 |
| snap_2dfe | SNaP-2DFe: recordings by subject, movement, expression | videos |
| talking_face | Talking Face: pictures and points of another layout | a video, 7 landmarks |
| ibug_300w | 300W: .pts beside pictures; subsets by folder | stills |
| landmark_csv | the CSV of ytf68 | stills |
| dlib_xml | dlib's image metadata | stills, several faces each |
| pseudo68 | teacher labels (.npz) of a video | faces of some frames |

Videos are `LabelledVideo`s, which read their frames and labels as they are taken; stills are
`LabelledFace`s, whose pictures are read when they are loaded; a `LabelledSet` holds either. A
track Parquet with its video is read by `pipeline.data.labelled_tracks`, into the same.

What is broken or missing raises AnnotationError, which names file and line. Readers that take
`skipped` leave it out instead where a list is given, and append the message to it.
"""
