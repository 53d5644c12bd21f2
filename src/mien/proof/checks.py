"""What a card says, claim by claim, and what is worked out of the images beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from mien.data import Store
from mien.data.listing import SPLITS
from mien.data.store import sha256_of
from mien.evaluate import claims
from mien.evaluate.calibration import Calibration, calibrate, with_temperature
from mien.evaluate.clean import members
from mien.evaluate.metrics import calibration_error, macro_f1_interval
from mien.evaluate.prediction_sets import fit_sets
from mien.outliers import share_reached
from mien.progress import note
from mien.proof.claimant import Claimant
from mien.proof.verdict import CANNOT, FAILS, HOLDS, Claim, judged, share, with_interval
from mien.runs import Predictions, RunFolder, Scores
from mien.runs.records import to_dict
from mien.runs.writing import note_test_reading

ROUNDED = 0.001  # how far a share of the file's own answers may be off: processors round differently
OF_THE_RUN = 0.003  # one that was measured on the run, whose weights the file keeps rounded
OF_INT8 = 0.01  # the same where it keeps them in eight bits
CHANGED = 0.01  # one of changed images, whose noise is drawn in their order


def checked(claimant: Claimant, store: Store, read_test: bool, robustness: bool) -> list[Claim]:
    """Every claim with its verdict. read_test, robustness: see `mien.proof.prove`."""
    evidence = _Evidence(claimant, store)
    if not store.has("validation"):
        reason = "these data have no validation images"
        if claimant.card.get("out_of_fold"):
            reason = "out of fold, by networks that are not in it: prove the folds"
        told = share({"accuracy": claimant.card["validation_accuracy"], "images": claimant.card["validation_images"]})
        return [*_data(evidence), Claim("accuracy", told, None, CANNOT, reason), *_test(evidence, read_test)]
    return [
        *_data(evidence),
        *_scores(evidence),
        *_calibration(evidence),
        *_sets(evidence),
        *_outliers(evidence),
        *_robustness(evidence, robustness),
        *_test(evidence, read_test),
    ]


class _Evidence:
    """The images that a claimant is judged on, and its answers to them, worked out when they are first asked for."""

    def __init__(self, claimant: Claimant, store: Store) -> None:
        self.claimant, self.store, self.card = claimant, store, claimant.card

    @cached_property
    def other(self) -> dict[str, str]:
        """Split, 'pool' or 'all' -> how its images differ from the card's; '' where they are the same."""
        return {part: self._difference(part) for part in ("all", claims.POOL, *SPLITS)}

    def unlike(self, pair: str) -> str:
        """How the images of 'a/b' differ, of which copies are told; '' where both are the same. train: the pool."""
        pool = claims.POOL if claims.POOL in self.card.get("content", {}) else "all"
        parts = [pool if split == "train" else split for split in pair.split("/")]
        return next(filter(None, (self.other[part] for part in parts)), "")

    @cached_property
    def answers(self) -> tuple[Predictions, np.ndarray | None]:
        """To validation, in the order of content; earlier exports took the order of their data."""
        found, similar = self.claimant.answer(self.store, "validation")
        ordered = "split_images" in self.card
        return (claims.by_content(found, claims.digests_of(self.store)) if ordered else found), similar

    @cached_property
    def calibration(self) -> Calibration:
        return calibrate(self.answers[0], self.card["error_rate"])

    @property
    def slack(self) -> float:
        """How far a score may be off."""
        return ROUNDED if self.claimant.exact else self.slack_of_run

    @property
    def slack_of_run(self) -> float:
        return OF_INT8 if self.card.get("weights") == "int8" else OF_THE_RUN

    def positions(self, part: str) -> np.ndarray:
        """Of the images of a split, of the pool or of all, (n,)."""
        if part == "all":
            return np.arange(len(self.store))
        return members(self.store, "train") if part == claims.POOL else self.store.indices(part)

    def _difference(self, part: str) -> str:
        told = self.card.get("content", {}).get(part)
        if told is None:
            # A run of mien 0.1 kept no hash of each split; opening its data compared all of it.
            known = self.claimant.run and not self.card.get("content")
            return "" if known else "it does not say which images these were"
        here = self.positions(part)
        if told != sha256_of(self.store.digests[here]):
            return f"other images, {len(here):,} of them"
        labels = self.card.get("labelled", {}).get(part)
        if labels and labels != claims.labelled(self.store, part, self.claimant.classes):
            return "the same images with other labels"
        return ""


def _data(evidence: _Evidence) -> Iterator[Claim]:
    card, store = evidence.card, evidence.store
    for split in SPLITS:
        told = card.get("content", {}).get(split)
        number = card.get("split_images", {}).get(split, card.get(f"{split}_images"))
        if told is not None and (store.has(split) or number):
            counted = {"content": told} if number is None else {"images": number, "content": told}
            found = {"images": len(store.indices(split)), "content": store.content(split)}
            yield judged(f"{split} images", counted, found, 0, evidence.other[split])
    yield from _copies(evidence)
    if told := card.get("label_disagreement"):
        other = evidence.other["all"]
        worked_out = None if other else claims.disagreement_of(store)
        found_share = worked_out and with_interval(worked_out["share"], worked_out["interval"])
        told_share = with_interval(told["share"], told["interval"])
        yield judged("two labels of one photograph differ", told_share, found_share, ROUNDED, other)


def _copies(evidence: _Evidence) -> Iterator[Claim]:
    told = evidence.card.get("copies", {})
    pairs = [
        pair for pair in told.get("near", {}) if all(evidence.card["split_images"][split] for split in pair.split("/"))
    ]
    found = claims.copies(evidence.store) if any(not evidence.unlike(pair) for pair in pairs) else {}
    for kind, counts in told.items():
        for pair in pairs:
            worked_out = found.get(kind, {}).get(pair)
            yield judged(f"{kind} copies, {pair}", counts[pair], worked_out, 0, evidence.unlike(pair))


def _scores(evidence: _Evidence) -> Iterator[Claim]:
    card = evidence.card
    if "validation_accuracy" not in card:
        return
    predictions = evidence.answers[0]
    found = claims.scores_of(evidence.store, "validation", predictions)
    other, slack = evidence.other["validation"], evidence.slack
    accuracy = {"accuracy": card["validation_accuracy"], "images": card["validation_images"]}
    yield judged("accuracy", accuracy | {"interval": card.get("interval")}, to_dict(found), slack, other)
    yield from _clean(evidence, "validation", card, found, slack)
    if "macro_f1" in card:
        told = with_interval(card["macro_f1"], card.get("macro_f1_interval"))
        worked_out = with_interval(found.macro_f1, macro_f1_interval(predictions))
        yield judged("macro-F1", told, worked_out, 3 * slack, other)
    if "per_class" in card:
        yield judged("by class", card["per_class"], to_dict(found)["per_class"], 10 * slack, other)
    if "uncalibrated_error" in card:
        yield judged("calibration error", card["uncalibrated_error"], calibration_error(predictions), slack, other)


def _clean(evidence: _Evidence, split: str, told: Mapping[str, Any], found: Scores, slack: float) -> Iterator[Claim]:
    """The scores of images without copies; in files of mien 0.1 the clean ones may have near copies."""
    unequal, other = "accuracy without identical copies", evidence.unlike(f"train/{split}")
    if told.get("without_identical"):
        yield judged("accuracy on clean images", told.get("clean"), to_dict(found.clean), slack, other)
        yield judged(unequal, told["without_identical"], to_dict(found.without_identical), slack, other)
    elif told.get("clean"):
        yield judged(unequal, told["clean"], to_dict(found.without_identical), slack, other)


def _calibration(evidence: _Evidence) -> Iterator[Claim]:
    card = evidence.card
    if "temperature" not in card:
        return
    found, other, slack = evidence.calibration, evidence.other["validation"], evidence.slack
    yield judged("temperature", card["temperature"], found.temperature, 0.01 * found.temperature, other)
    yield judged("threshold of “unsure”", card["threshold"], found.threshold, 0.01, other)
    told = with_interval(card["calibration_error"], card.get("calibration_error_interval"))
    worked_out = with_interval(found.calibration_error, found.calibration_error_interval)
    yield judged("calibration error", told, worked_out, slack, other)
    names = {"answered": "share that is answered", "wrong": "of these wrong", "wrong_at_most": "of these wrong at most"}
    for key, name in names.items():
        if key in card:
            yield judged(name, card[key], getattr(found, key), 3 * slack, other)


def _sets(evidence: _Evidence) -> Iterator[Claim]:
    if not (told := evidence.card.get("sets")):
        return
    calibrated = with_temperature(evidence.answers[0], evidence.card["temperature"])
    found, other = fit_sets(calibrated, told["coverage"]).to_dict(), evidence.other["validation"]
    yield judged("least probabilities of sets", told["least"], list(found["least"]), 0.01, other)
    covered, held = (with_interval(each["covered"], each.get("interval")) for each in (told, found))
    yield judged("coverage of sets", covered, held, evidence.slack, other)
    names = {"size": "classes in a set", "single": "sets of one class", "single_right": "of these right"}
    for key, name in names.items():
        yield judged(name, told[key], found[key], 10 * evidence.slack, other)


def _outliers(evidence: _Evidence) -> Iterator[Claim]:
    if not (told := evidence.card.get("outliers")):
        return
    similar = evidence.answers[1]
    found = None if similar is None else share_reached(similar, told["threshold"])
    slack = ROUNDED if "reached" in told else 0.01  # before, it was fitted on some of the images
    name = "share that is no outlier"
    yield judged(name, told.get("reached", told["kept"]), found, slack, evidence.other["validation"])


def _robustness(evidence: _Evidence, wanted: bool) -> Iterator[Claim]:
    told = evidence.card.get("robustness")
    if not told:
        return
    if not wanted:
        reason = "not worked out unless asked for: `robustness=True`"
        yield Claim("accuracy on changed images", f"{len(told)} figures", None, CANNOT, reason)
        return
    from mien.evaluate.robustness import measure

    found = measure(evidence.claimant.most_probable, evidence.store, evidence.claimant.classes, "validation")
    known = {(row.change, row.strength): to_dict(row) for row in found}
    for row in told:
        name = f"{row['change']} {abs(row['strength']):g} {row['unit']}".strip()
        worked_out = known.get((row["change"], row["strength"]))
        yield judged(name, row, worked_out, CHANGED, evidence.other["validation"])


def _test(evidence: _Evidence, read: bool) -> Iterator[Claim]:
    told, reads, run = evidence.card.get("test"), evidence.card.get("test_reads"), evidence.claimant.run
    if told and not read:
        reason = "the test split is read only on request: `split='test'`"
        yield Claim("accuracy on test", share(told), None, CANNOT, reason)
    elif told and not evidence.store.has("test"):
        yield Claim("accuracy on test", share(told), None, CANNOT, "the data has no test split")
    elif told:
        yield from _read_test(evidence, told)
    if reads is None:
        return
    if run is None:
        yield Claim("readings of the test split", reads, None, CANNOT, "only its run knows them")
    else:
        known = RunFolder.open(run).test_reads
        yield Claim("readings of the test split", reads, known, HOLDS if {*reads} <= {*known} else FAILS)


def _read_test(evidence: _Evidence, told: Mapping[str, Any]) -> Iterator[Claim]:
    run = evidence.claimant.run
    if run is None:
        note("This reads the test split. The file lies in no run, so the reading is noted nowhere.")
    else:
        note_test_reading(run)
    found = claims.scores_of(evidence.store, "test", evidence.claimant.answer(evidence.store, "test")[0])
    slack, other = evidence.slack_of_run, evidence.other["test"]
    yield judged("accuracy on test", told, to_dict(found), slack, other)
    for claim in _clean(evidence, "test", told, found, slack):
        yield Claim(f"test: {claim.name}", claim.told, claim.found, claim.verdict, claim.reason)
    yield judged("macro-F1 on test", told["macro_f1"], found.macro_f1, 3 * slack, other)
