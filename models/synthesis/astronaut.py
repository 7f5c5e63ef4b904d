"""The one photograph of a face that needs no download, and its 68 landmarks.

scikit-image bundles NASA's portrait of an astronaut (public domain, 512x512 RGB).
The landmarks were placed by hand on enlargements of 9 to 36 times (lids and lips at
20 and more, the jaw once more with local contrast raised), drawn, looked at and
corrected region by region. No network took part, so they are truth for ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import UsageError

#: (68, 2) float64: the face's landmarks in pixels of the 512x512 photograph.
ASTRONAUT_LANDMARKS_PX: Final = np.array([
    # jaw: hairline beside the right eye, chin, hairline beside the left eye
    (180.3, 101.0), (180.2, 112.5), (181.4, 124.0), (182.3, 135.5), (184.2, 146.5), (189.0, 157.5),
    (197.5, 166.8), (209.5, 174.6), (223.4, 177.6), (236.8, 174.9), (248.0, 168.4), (256.6, 160.3),
    (262.5, 150.5), (266.0, 140.0), (268.0, 128.0), (269.0, 116.0), (269.5, 104.0),
    # right brow
    (189.5, 90.2), (194.0, 88.6), (199.5, 88.2), (206.0, 89.8), (212.8, 92.0),
    # left brow
    (238.0, 93.0), (243.5, 92.2), (249.5, 92.0), (256.0, 92.6), (262.3, 95.4),
    # nose bridge, nostrils
    (224.3, 103.5), (224.1, 111.0), (223.9, 118.5), (223.8, 126.0), (214.5, 130.8),
    (219.0, 132.0), (224.3, 133.2), (229.8, 132.2), (234.5, 131.2),
    # right eye
    (193.0, 100.9), (198.0, 98.4), (206.2, 98.0), (212.8, 102.9), (207.4, 103.9), (199.4, 103.6),
    # left eye
    (236.3, 104.6), (242.0, 100.9), (250.0, 100.5), (257.6, 103.5), (250.8, 106.0), (242.8, 105.7),
    # outer lip
    (202.3, 138.9), (209.0, 139.2), (217.0, 138.9), (222.7, 139.8), (228.3, 139.0), (236.5, 139.8),
    (244.6, 140.3), (238.0, 147.8), (231.5, 153.0), (223.0, 154.7), (215.0, 153.0), (208.3, 148.0),
    # inner lip
    (203.6, 139.8), (213.5, 141.9), (222.3, 143.1), (231.0, 143.0),
    (243.0, 141.2), (231.0, 148.6), (222.2, 149.6), (213.5, 148.3),
])  # fmt: skip
ASTRONAUT_LANDMARKS_PX.setflags(write=False)


def load_astronaut() -> npt.NDArray[np.uint8]:
    """The photograph, (512, 512, 3) uint8 RGB, from the installed scikit-image.

    Raises:
        UsageError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise UsageError(
            f"the sample is made from a photograph that scikit-image bundles; got {error}; "
            "expected scikit-image, which `pip install 'facetracks[demo]'` brings"
        ) from error
    photograph: npt.NDArray[np.uint8] = data.astronaut()
    return photograph
