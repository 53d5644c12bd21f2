"""Plant copies in three data sets and look for them: how many are found, how many pairs are wrong, at what cost.

python benchmarks/near_copies.py DATA      -> results/near_copies.json

DATA is the folder with fer2013/, dogs-vs-cats/ and tiny-imagenet-200/. Of 200 images a kind of change, drawn at random,
a changed copy is added to the data set. A pair with a planted image is right where the other one is its source, another
copy of that source, or an image that the search links to the source.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mien.atomic import write_json
from mien.config import Data
from mien.data import prepare
from mien.data.near import NearCopies, connected, near_copies
from mien.data.store import Store

RESULTS = Path(__file__).parent.parent / "results" / "near_copies.json"
PLANTED = 200  # copies a kind
SETS: dict[str, tuple[str, int, Literal[1, 3]]] = {  # name -> (folder, pixels of a side, channels)
    "dogs_vs_cats": ("dogs-vs-cats", 96, 3),
    "fer2013": ("fer2013", 48, 1),
    "tiny_imagenet": ("tiny-imagenet-200", 48, 1),
}
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def shifted(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """By up to 3 pixels of 48 down and right; the edge is repeated."""
    most = round(3 * picture.width / 48)
    down, right = random.choice([by for by in np.ndindex(2 * most + 1, 2 * most + 1) if by != (most, most)])
    edge = ((most, most), (most, most), (0, 0))[: np.asarray(picture).ndim]
    pixels = np.pad(np.asarray(picture), edge, mode="edge")
    return Image.fromarray(pixels[down : down + picture.height, right : right + picture.width])


def mirrored(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def encoded(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """JPEG of quality 30 to 70."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(random.integers(30, 71)))
    return Image.open(file).convert(picture.mode)


def rescaled(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """To half or more of the side, and back."""
    side = round(picture.width * random.uniform(0.5, 0.9))
    return picture.resize((side, side), Image.Resampling.BILINEAR).resize(picture.size, Image.Resampling.BICUBIC)


def lit(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Another gamma, contrast and brightness, and a light from one side."""
    pixels = np.asarray(picture, dtype=np.float32) / 255
    ramp = np.linspace(-0.1, 0.1, picture.width) * random.uniform(-1, 1)
    ramp = ramp.reshape((1, -1, 1)[: pixels.ndim]) if random.random() < 0.5 else ramp.reshape((-1, 1, 1)[: pixels.ndim])
    gamma = random.choice([random.uniform(0.6, 0.8), random.uniform(1.25, 1.7)])
    pixels = pixels**gamma * random.uniform(0.7, 1) + random.uniform(-0.05, 0.05) + ramp
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def watermarked(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """White letters, half or more opaque, of an eighth to a sixth of the height."""
    height = round(picture.height * random.uniform(1 / 8, 1 / 6))
    layer = Image.new("L", picture.size)
    place = int(random.integers(0, picture.width // 3)), int(random.integers(0, picture.height - height))
    ImageDraw.Draw(layer).text(place, "SAMPLE.COM", fill=255, font=ImageFont.load_default(size=height))
    opaque = random.uniform(0.5, 1)
    layer = layer.point(lambda value: int(value * opaque))
    return Image.composite(Image.new(picture.mode, picture.size, "white"), picture, layer)


def cropped(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Up to 8 % off each side."""
    left, top, right, bottom = random.uniform(0, 0.08, 4) * picture.width
    box = (left, top, picture.width - right, picture.height - bottom)
    return picture.resize(picture.size, Image.Resampling.BICUBIC, box=box)


def several(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    """Shifted, lit otherwise, mirrored and encoded."""
    for change in (shifted, lit, mirrored, encoded):
        picture = change(picture, random)
    return picture


CHANGES: tuple[Change, ...] = (shifted, mirrored, encoded, rescaled, lit, watermarked, cropped, several)


def planted(store: Store) -> tuple[Store, np.ndarray]:
    """The store with copies at its end, and the source of each."""
    random = np.random.default_rng(0)
    sources = np.concatenate([random.choice(len(store), PLANTED, replace=False) for _ in CHANGES])
    copies = []
    for number, source in enumerate(sources):
        image = np.asarray(store.images[int(source)])
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        changed = np.asarray(CHANGES[number // PLANTED](picture, random))
        copies.append(changed[None] if changed.ndim == 2 else changed.transpose(2, 0, 1))
    images = np.concatenate([np.asarray(store.images), np.stack(copies)])
    labels, splits, sizes = (
        np.concatenate([each, each[sources]]) for each in (store.labels, store.splits, store.sizes)
    )
    names = [*store.names, *(f"copy {number}" for number in range(len(sources)))]
    fresh = replace(store, images=images, names=names, labels=labels, splits=splits, sizes=sizes)
    return replace(fresh, known_digests=None, known_blanks=None, groups=()), sources


def judged(found: NearCopies, count: int, sources: np.ndarray) -> dict[str, object]:
    """Recall by kind of change, and how many pairs with a planted image are right."""
    links = np.stack([sources, count + np.arange(len(sources))], axis=1)
    given = found.pairs[(found.pairs < count).all(axis=1)]
    equal = np.stack([found.equal, np.arange(len(found.equal))], axis=1)
    truth = connected(len(found.equal), np.concatenate([links, given, equal]))
    of_copies = found.pairs[(found.pairs >= count).any(axis=1)]
    right = int((truth[of_copies[:, 0]] == truth[of_copies[:, 1]]).sum())
    direct = {frozenset(pair) for pair in found.pairs.tolist()}
    hit = [
        frozenset((int(found.equal[a]), int(found.equal[b]))) in direct or found.equal[a] == found.equal[b]
        for a, b in links
    ]
    by_kind = np.array(hit).reshape(len(CHANGES), -1).mean(axis=1)
    return {
        "recall": round(float(np.mean(hit)), 4),
        "precision": round(right / max(len(of_copies), 1), 4),
        "pairs": len(of_copies),
        "recall_by_kind": {
            change.__name__: round(float(share), 3) for change, share in zip(CHANGES, by_kind, strict=True)
        },
    }


def measured(name: str, root: Path) -> dict[str, object]:
    folder, size, channels = SETS[name]
    store = prepare(Data(source=name, path=root / folder, size=size, channels=channels))
    added, sources = planted(store)
    added.digests  # noqa: B018  (a store on disk has them)
    cpu, wall = time.process_time(), time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["MIEN_CACHE"] = cache  # nothing is known from before
        found = near_copies(added)
    return {
        "images": len(added),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.perf_counter() - wall, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "least_likeness": round(found.least, 2),
        **judged(found, len(store), sources),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    cache = os.environ.get("MIEN_CACHE")
    for name in options.only:
        if cache:
            os.environ["MIEN_CACHE"] = cache
        else:
            os.environ.pop("MIEN_CACHE", None)
        known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        known[name] = measured(name, options.data)
        write_json(RESULTS, known)
        print(name, json.dumps(known[name]), flush=True)


if __name__ == "__main__":
    main()
