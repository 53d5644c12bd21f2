"""A detector that finds two boxes and a network that tells dark from bright, for the tests of films and cameras."""

import numpy as np

from mien.runtime.network import Prediction
from mien.runtime.reader import Face


class TwoBoxes:
    """Finds one face at the left, and from the fifth call on another at the right."""

    def __init__(self):
        self.calls = 0

    def detect(self, image):
        self.calls += 1
        boxes = [(10 + self.calls, 20, 40, 40), (100, 20 + self.calls, 30, 30)]
        return boxes if self.calls >= 5 else boxes[:1]


class FakeNetwork:
    """Probabilities that depend on the brightness of the crop."""

    labels, threshold, sets, device = ("dark", "bright"), 0.6, None, "cpu"

    class preprocessing:  # noqa: N801
        @staticmethod
        def pixels_of_upright(image):
            return np.asarray(image.convert("L").resize((4, 4)))[None]

    def predict(self, pixels):
        bright = pixels.reshape(len(pixels), -1).mean(1) / 255
        return [Prediction(np.array([1 - one, one])) for one in bright]


def face(box, bright, threshold=0.0):
    label = "bright" if bright > 0.5 else "dark"
    confidence = max(bright, 1 - bright)
    return Face(box, label, {"dark": 1 - bright, "bright": bright}, confidence, confidence >= threshold)


FACE = face((10, 5, 20, 20), 0.9)
