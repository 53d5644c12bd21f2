"""One contestant of benchmarks/predict.py, run by the Python that has it installed: a line of JSON in, a line out.

python -I benchmarks/predict_worker.py mien
{"do": "photo", "file": "photo.jpg"}
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np


class Mien:
    package = "mien"
    network = "mien:tiny"

    def __init__(self) -> None:
        import mien

        self.reader = mien.load(self.network, "haar", threads=1)

    def prepared(self, faces: np.ndarray) -> np.ndarray:
        """Grey faces uint8 (N, 48, 48) as the contestant takes them; this is not timed."""
        return faces

    def crops(self, faces: np.ndarray) -> list[str]:
        return [face.label for (face,) in self.reader.read(faces, detect=False)]

    def photo(self, file: str) -> list[str]:
        return [face.label for face in self.reader.read(file)]


class Base(Mien):
    network = "mien:base"


class Fer:
    package = "fer"

    def __init__(self) -> None:
        from fer.fer import FER  # `from fer import FER`, as its README has it, fails in 25.10

        self.photos = FER()
        self.faces = FER(offsets=(0, 0))  # else it would look 10 pixels beyond each crop

    def prepared(self, faces: np.ndarray) -> np.ndarray:
        return np.repeat(faces[..., None], 3, axis=-1)  # (N, 48, 48) -> (N, 48, 48, 3), BGR

    def crops(self, faces: np.ndarray) -> list[str]:
        """One by one, as its own batch_detect_emotions does, which takes no boxes."""
        found = [self.faces.detect_emotions(face, [(0, 0, 48, 48)])[0] for face in faces]
        return [max(one["emotions"], key=one["emotions"].get) for one in found]

    def photo(self, file: str) -> list[str]:
        return [max(face["emotions"], key=face["emotions"].get) for face in self.photos.detect_emotions(file)]


class Deepface:
    package = "deepface"

    def __init__(self) -> None:
        import onnxruntime

        class OneThread(onnxruntime.SessionOptions):  # deepface has no setting for it
            def __init__(self) -> None:
                super().__init__()
                self.intra_op_num_threads = 1

        onnxruntime.SessionOptions = OneThread
        from deepface import DeepFace

        self.analyze = DeepFace.analyze

    def prepared(self, faces: np.ndarray) -> np.ndarray:
        return np.repeat(faces[..., None], 3, axis=-1)  # (N, 48, 48) -> (N, 48, 48, 3), BGR

    def crops(self, faces: np.ndarray) -> list[str]:
        found = self.analyze(list(faces), ["emotion"], enforce_detection=False, detector_backend="skip", silent=True)
        return [face["dominant_emotion"] for (face,) in found]

    def photo(self, file: str) -> list[str]:
        found = self.analyze(file, ["emotion"], enforce_detection=False, detector_backend="opencv", silent=True)
        return [face["dominant_emotion"] for face in found if face["face_confidence"] > 0]  # 0: the whole picture


def crops_per_second(contestant: Any, file: str, batch: int, seconds: float) -> dict[str, float]:
    """Faces a second, `batch` of them in a call, for at least so many seconds of the processor's time."""
    faces = contestant.prepared(np.load(file))
    parts = [faces[start : start + batch] for start in range(0, len(faces), batch)]
    contestant.crops(parts[0])
    count, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        for part in parts:
            count += len(contestant.crops(part))
    return {"per_second": count / (time.process_time() - start)}


def photos_per_second(contestant: Any, files: list[str], seconds: float) -> dict[str, float]:
    """Photos a second, from the file to the answer, in whole rounds through all of them; and the faces of a round."""
    count = found = 0
    start = time.process_time()
    while time.process_time() - start < seconds:
        found = sum(len(contestant.photo(file)) for file in files)
        count += len(files)
    return {"per_second": count / (time.process_time() - start), "faces": found}


def about(contestant: Any) -> dict[str, Any]:
    """Version, and the most memory this process has had, MiB.

    VmHWM, as getrusage's ru_maxrss starts with what the process had that started this one.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"version": importlib.metadata.version(contestant.package), "peak_mib": int(line.split()[1]) / 1024}


def answer(contestant: Any, request: dict[str, Any]) -> dict[str, Any]:
    match request.pop("do"):
        case "photo":
            return {"labels": contestant.photo(request["file"]), "seconds": time.process_time()}
        case "crops":
            return crops_per_second(contestant, **request)
        case "photos":
            return photos_per_second(contestant, **request)
        case _:
            return about(contestant)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else a package prints is not an answer
    contestant = None
    for line in sys.stdin:
        try:
            contestant = contestant or {"mien": Mien, "base": Base, "fer": Fer, "deepface": Deepface}[sys.argv[1]]()
            found = answer(contestant, json.loads(line))
        except Exception as error:  # of packages that are not ours: each is an answer too
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
