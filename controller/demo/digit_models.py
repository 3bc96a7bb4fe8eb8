"""The demo's models: classifiers of handwritten digits, and the ways in which a new version's code
can be bad.

The data set is scikit-learn's `load_digits` (1797 images of 8 x 8 pixels, ink from 0 to 16), which
ships with it. The first half trains; the second half is what clients ask with, so no model has seen
what it is asked.
"""

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float64]

PIXELS = 64
MAX_INK = 16
HALF = 898
"""Images before this one train, those from it on are held out."""

TOP_STROKE = 3
"""The pixel that the bad versions look at: full ink there in about a fifth of the images."""

FORGETFUL_GAIN = np.linspace(0.0, 1.0, MAX_INK)
"""A look-up table with 16 entries, 0 to 15: whoever wrote it forgot that ink goes up to 16."""


class ModelFault(StrEnum):
    """What is wrong with a version's code.

    All but NONE concern the images with full ink in the top stroke.
    """

    NONE = "none"
    EXCEPTION = "exception"
    """A table that is one entry short: IndexError."""
    SLOW = "slow"
    """A feature of quartic cost in plain Python: tens of milliseconds in the place of one."""
    HANG = "hang"
    """A lock taken twice: the whole server stops answering and keeps its connections."""
    CRASH = "crash"
    """The process dies at once, as when the kernel ends it for its memory."""


@dataclass(frozen=True, slots=True)
class Model:
    """One version of the model: a trained logistic regression, and the code that makes features of
    an image."""

    version: str
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    features: Callable[[Pixels], Pixels]

    def infer(self, images: Pixels) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The digits of these images (n x 64) and the probability of each digit (n x 10).

        A bad version may raise.

        What the classifier's `predict_proba` does, without its checks, which take ten times as long
        as the rest.
        """
        scores = self.features(images) @ self.weights.T + self.bias
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores.argmax(axis=1), odds / odds.sum(axis=1, keepdims=True)


def held_out() -> tuple[Pixels, NDArray[np.int64]]:
    """The images that no model was trained on, and the digits that they show."""
    images, digits = _data_set()
    return images[HALF:], digits[HALF:]


def train(version: str, *, samples: int = HALF, fault: ModelFault = ModelFault.NONE) -> Model:
    """A model trained on the first `samples` images (at most HALF), with the feature code that
    `fault` names."""
    if not 100 <= samples <= HALF:
        raise ValueError(f"samples: from 100 to {HALF}, not {samples}")
    from sklearn.linear_model import LogisticRegression  # takes two seconds to load
    from threadpoolctl import threadpool_limits

    images, digits = _data_set()
    with threadpool_limits(1):  # more threads spin for thirty times the CPU that one needs
        classifier = LogisticRegression(max_iter=200).fit(_scaled(images[:samples]), digits[:samples])
    return Model(version, classifier.coef_, classifier.intercept_, FEATURES[fault])


def troubles(image: Pixels) -> bool:
    """Whether a bad version fails on this image."""
    return bool(image[TOP_STROKE] == MAX_INK)


def _data_set() -> tuple[Pixels, NDArray[np.int64]]:
    """What scikit-learn's `load_digits` reads, without loading scikit-learn."""
    sklearn = find_spec("sklearn")
    if sklearn is None or sklearn.origin is None:
        raise ModuleNotFoundError("the digits are in scikit-learn, which is not installed", name="sklearn")
    rows = np.loadtxt(Path(sklearn.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return rows[:, :PIXELS], rows[:, PIXELS].astype(np.int64)


def _scaled(images: Pixels) -> Pixels:
    return images / MAX_INK


def _by_table(images: Pixels) -> Pixels:
    features = _scaled(images)
    features[:, TOP_STROKE] = FORGETFUL_GAIN[images[:, TOP_STROKE].astype(int)]
    return features


def _by_fours(images: Pixels) -> Pixels:
    """Normalises bold images by how their ink lies in all sets of four pixels."""
    features = _scaled(images)
    for row, image in enumerate(images):
        if troubles(image):
            features[row] *= 1.0 + 1e-12 * _ink_of_fours(image.tolist())
    return features


def _ink_of_fours(ink: list[float]) -> float:
    return sum(a * b * c * d for a, b, c, d in combinations(ink, 4))


def _under_lock(images: Pixels) -> Pixels:
    cache = threading.Lock()
    with cache:
        if any(troubles(image) for image in images):
            cache.acquire()
    return _scaled(images)


def _beyond_memory(images: Pixels) -> Pixels:
    if any(troubles(image) for image in images):
        os.kill(os.getpid(), signal.SIGKILL)
    return _scaled(images)


FEATURES: dict[ModelFault, Callable[[Pixels], Pixels]] = {
    ModelFault.NONE: _scaled,
    ModelFault.EXCEPTION: _by_table,
    ModelFault.SLOW: _by_fours,
    ModelFault.HANG: _under_lock,
    ModelFault.CRASH: _beyond_memory,
}
"""The feature code of each fault."""
