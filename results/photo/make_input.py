"""Make a real tensor to measure on: ``python results/photo/make_input.py photo.npy``.

The pre-activations of a first convolution layer (eight fixed 3 x 3 filters) over the photograph that matplotlib
ships: neighbours are correlated and most values lie near 0, which random numbers are not like.
"""

from __future__ import annotations

import argparse

import numpy as np
from matplotlib import cbook
from matplotlib.image import imread

FILTERS = np.array(
    [
        [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
        [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]],
        [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]],
        [[2, 1, 0], [1, 0, -1], [0, -1, -2]],
        [[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
        [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
    ],
    np.float32,
)


def preactivations() -> np.ndarray:
    """A float32 tensor of shape (3, 8, height - 2, width - 2): colours, filters and pixels."""
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        photo = imread(file, format="jpg").astype(np.float32).transpose(2, 0, 1) / 255
    photo = (photo - photo.mean()) / photo.std()
    windows = np.lib.stride_tricks.sliding_window_view(photo, (3, 3), axis=(1, 2))
    return np.ascontiguousarray(np.einsum("chwij,fij->cfhw", windows, FILTERS), np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", help="where to write, such as photo.npy")
    np.save(parser.parse_args().file, preactivations())
