"""scikit-learn's handwritten digits: no download, a second's training."""

from __future__ import annotations

import numpy as np

from pipeline.data import Dataset
from pipeline.data._images import Images, classification
from pipeline.data._splits import stratified

_TEST_SHARE = 0.2


def digits(*, validation: float = 0.1) -> Dataset:
    """Handwritten digits, 1797 grey images of 8x8 pixels, 10 classes, in scikit-learn (1998).

    Values 0 … 16 are scaled to 0 … 255. The set has no test part: a fixed fifth of every class is
    carved off, then a share ``validation`` of the rest.

    Source: Alpaydin and Kaynak, Optical recognition of handwritten digits, UCI, 1998.

    Raises:
        ValueError: if ``validation`` is outside [0, 1).
    """
    from sklearn.datasets import load_digits  # here: nobody else needs to wait for it

    pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
    scaled = np.rint(pixels * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    images = Images(scaled, labels.astype(np.int64))
    mask = stratified(images.labels, _TEST_SHARE, "test")
    return classification(
        images.select(~mask), images.select(mask), classes=10, validation=validation
    )
