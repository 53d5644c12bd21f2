"""An exported network's card -> a model card in markdown (Mitchell et al., arXiv 1810.03993). No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mien.errors import DataError
from mien.labels import has_expressions
from mien.runtime.network import Network
from mien.words import count

LIMITS = """\
It answers {labels} to every picture, also to one that shows nothing of the kind, and may be sure of it. Use it on
pictures like those it was trained on, and not for decisions about people."""
NAMED = 10  # of more classes, their number is enough

# What a classifier of expressions must not be used for.
EXPRESSION_LIMITS = """\
Do not use it to decide about a person. It names the expression that people who labelled photographs would have named;
it does not know what anybody feels, thinks or intends. It is not made for, and not fit for, hiring, policing, threat
or lie detection, diagnosis, or grading attention. In the European Union, inferring emotions of people at work and in
education is prohibited except for medical or safety reasons (Regulation (EU) 2024/1689, Article 5(1)(f))."""

FER2013 = """\
FER2013: 48-pixel grey faces that a search engine returned for words of emotion, labelled by people (Goodfellow et al.
2013, arXiv 1307.0414). People agree with its labels about 65 % of the time. The pictures were collected from the web;
who holds their rights, and under which licence they may be used, is not clear. They are not part of mien; the weights
learned from them are. FER2013 says nothing of age, sex or skin colour: how well the network does by group is
unknown."""
FER2013_VALIDATION = (
    "0c0a035851197bb73f28fd80bf2bd548cf0dedaa7ae9dc7cbd5f4dfffb76a97f"  # the content hash of its PublicTest
)


def model_card(network: Network, name: str) -> str:
    """The card as markdown. name: what the network is called. Figures that were not recorded are left out.

    Raises DataError for a card that no export of mien's has: a stranger may write what is sealed, too.
    """
    try:
        return "\n\n".join(_parts(network, network.card or {}, name)) + "\n"
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{name}: what its card says cannot be read ({error!r}). Export it again.") from error


def _parts(network: Network, card: dict[str, Any], name: str) -> list[str]:
    return [
        f"# {name}",
        _summary(network, card),
        "## What it must not be used for\n\n" + _limits(network.labels),
        "## Data\n\n" + _data(card),
        "## How well it does\n\n" + _scores(card),
        *(["## By class\n\n" + _classes(card["per_class"])] if card.get("per_class") else []),
        *(["## When pictures get worse\n\n" + _robustness(card["robustness"])] if card.get("robustness") else []),
        "## Calibration\n\n" + _calibration(card),
        *(["## Prediction sets\n\n" + _sets(card["sets"])] if card.get("sets") else []),
        *(["## What is none of these\n\n" + _outliers(card["outliers"])] if card.get("outliers") else []),
        "## Where it comes from\n\n" + _origin(card),
    ]


def _limits(labels: Sequence[str]) -> str:
    """Those of a network that reads expressions, or of one that names these classes."""
    if has_expressions(labels):
        return EXPRESSION_LIMITS
    named = f"{', '.join(labels[:-1])} or {labels[-1]}" if 1 < len(labels) <= NAMED else f"one of {len(labels)} classes"
    return LIMITS.format(labels=named)


def _summary(network: Network, card: dict[str, Any]) -> str:
    shape = network.preprocessing
    colour = "grey" if shape.channels == 1 else "colour"
    size = f" It has {card['parameters']:,} parameters." if card.get("parameters") else ""
    return (
        f"Tells apart {', '.join(network.labels)} in {colour} pictures of {shape.size}×{shape.size} pixels.{size} "
        f"Version of {card.get('date', 'an unknown date')}, fingerprint `{str(card.get('fingerprint', ''))[:12]}`."
    )


def _data(card: dict[str, Any]) -> str:
    if card.get("adopted"):
        about = f"What it learned from is not known here. The images that judge it: `{card.get('data', 'unknown')}`."
        return "\n\n".join([about, *_images_of(card)])
    counted = f"{card['train_images']:,} images were trained on" if card.get("train_images") else "Trained"
    kinds = {"near": ", identical and near copies of validation images dropped", False: "", None: ""}
    copies = kinds.get(card.get("copies_dropped"), ", copies of validation images dropped")
    about = FER2013 if _is_fer2013(card) else f"Source: `{card.get('data', 'unknown')}`."
    return "\n\n".join([about, f"{counted}{copies}.", *_images_of(card)])


def _is_fer2013(card: dict[str, Any]) -> bool:
    """Whether its images are FER2013's, by the name of their source or, of a table of them, by validation's content."""
    return card.get("data") == "fer2013" or card.get("content", {}).get("validation") == FER2013_VALIDATION


def _images_of(card: dict[str, Any]) -> list[str]:
    """Which images they were, their copies, and what those say of the labels; nothing of earlier exports."""
    told = []
    if counts := card.get("split_images"):
        rows = [
            f"| {split} | {number:,} | `{card['content'][split][:12]}` |" for split, number in counts.items() if number
        ]
        about = "The hash tells whether images are these, whatever their names (`mien verify --data.path`)."
        told.append("| split | images | hash |\n|---|---|---|\n" + "\n".join(rows) + f"\n\n{about}")
    if copies := card.get("copies"):
        pairs = [pair for pair in copies["near"] if all(card["split_images"][split] for split in pair.split("/"))]
        told += [_copies(pair, copies["identical"][pair], copies["near"][pair]) for pair in pairs]
    if found := card.get("label_disagreement"):
        told.append(
            f"Two labels of one photograph differ in {_share(found['share'], found['interval'])} of the "
            f"{found['photographs']:,} photographs that are there more than once: labels given independently would "
            f"leave at most {_share(found['best'], found['best_interval'])} of answers to be right."
        )
    return told


def _copies(pair: str, identical: int, near: int) -> str:
    """'Of the validation images 280 are identical to one of train ...'."""
    first, second = pair.split("/")
    return (
        f"Of the {second} images {identical:,} are identical to one of {first}, and {near:,} more are near copies: the "
        "same photograph, moved, cropped, lit or saved otherwise."
    )


def _share(value: float, interval: Sequence[float] | None, form: str = "{:.1%}") -> str:
    """'9.1% (8.2% to 10.2%)'; the value alone where there is no interval."""
    between = f" ({' to '.join(map(form.format, interval))})" if interval else ""
    return form.format(value) + between


def _scores(card: dict[str, Any]) -> str:
    rows = [_row("accuracy", card.get("validation_accuracy"), card.get("interval"), card.get("validation_images"))]
    old = card.get("without_identical")  # cards of version 0.1 have none: their clean images may be near copies
    named = {
        "no copies" if old is None else "no copies, not even near ones": card.get("clean"),
        "no identical copies": old,
    }
    for what, clean in named.items():
        if clean:
            about = f"accuracy on images that are {what}"
            rows.append(_row(about, clean["accuracy"], clean["interval"], clean["images"]))
    if card.get("macro_f1") is not None:
        low_high = " to ".join(f"{end:.3f}" for end in card.get("macro_f1_interval") or ())
        rows.append(f"| macro-F1 | {card['macro_f1']:.3f} | {low_high} | {_images(card.get('validation_images'))} |")
    chosen = "" if card.get("adopted") else ", which also chose the epoch"
    about = f"On the validation split{chosen}; one model, no test-time augmentation."
    if folds := card.get("out_of_fold"):
        about = (
            f"Out of fold: each of these images was judged by one of {folds} networks that had not seen it. This one "
            "was trained on all of them, for as many epochs as theirs chose; no test-time augmentation."
        )
    return (
        f"{about}\n\n| measure | value | 95 % interval | images |\n|---|---|---|---|\n" + "\n".join(rows) + _test(card)
    )


def _test(card: dict[str, Any]) -> str:
    """What was scored on the test split, and how often it was read; nothing of earlier exports."""
    if "test_reads" not in card:
        return ""
    dates = ", ".join(str(date)[:10] for date in card["test_reads"])
    if not (test := card.get("test")):
        return f"\n\nThe test split was read on {dates}." if dates else "\n\nThe test split has not been read."
    clean = test.get("clean")
    without = f"; {clean['accuracy']:.1%} on the {clean['images']:,} clean ones" if clean and clean["images"] else ""
    return (
        f"\n\nOn the test split, read on {dates or 'an unknown date'}: accuracy "
        f"{_share(test['accuracy'], test['interval'])} on {test['images']:,} images{without}."
    )


def _row(name: str, value: float | None, interval: list[float] | None, images: int | None) -> str:
    share = "-" if value is None else f"{value:.1%}"
    between = f"{interval[0]:.1%} to {interval[1]:.1%}" if interval else ""
    return f"| {name} | {share} | {between} | {_images(images)} |"


def _images(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _classes(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"| {name} | {row['images']:,} | {row['recall']:.1%} | {row['precision']:.1%} | {row['f1']:.3f} |"
        for name, row in rows.items()
    ]
    return "| class | images | recall | precision | F1 |\n|---|---|---|---|---|\n" + "\n".join(lines)


def _robustness(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        strength = f"{abs(row['strength']):g} {row['unit']}" if row["unit"] else ""
        lines.append(f"| {row['change']} | {strength} | {row['accuracy']:.1%} |")
    about = "Accuracy on the same validation images, changed before the network sees them (pixels in 0..1; side of 48)."
    return f"{about}\n\n| change | strength | accuracy |\n|---|---|---|\n" + "\n".join(lines)


def _calibration(card: dict[str, Any]) -> str:
    return (
        f"Logits are divided by {card['temperature']:.3f}; the expected calibration error is then "
        f"{_share(card['calibration_error'], card.get('calibration_error_interval'), '{:.3f}')} (15 bins), how far "
        f"confidence lies from the share of right answers. {_answers(card)} (asked for: {card['error_rate']:.0%}). "
        f"{_proven(card)}All by two-fold cross-fitting: no image judges what it helped to fit."
    )


def _sets(sets: dict[str, Any]) -> str:
    """What the sets of classes that an answer leaves open are worth."""
    shares = [share for share in sets["by_class"].values() if share is not None]
    between = f"95 % interval {' to '.join(f'{end:.1%}' for end in sets['interval'])}; " if sets.get("interval") else ""
    return (
        "Beside each answer stands the set of classes that it leaves open. Of the sets, "
        f"{sets['covered']:.1%} hold the true class (asked for: {sets['coverage']:.0%}; {between}{min(shares):.0%} to "
        f"{max(shares):.0%} of each class), with {sets['size']:.2f} classes on average; {sets['single']:.0%} are one "
        f"class alone, {sets['single_right']:.1%} of these right. This holds for pictures like those of validation "
        "only. Split conformal prediction with a threshold for each class (arXiv 1609.00451), by two-fold "
        "cross-fitting."
    )


def _outliers(outliers: dict[str, Any]) -> str:
    return (
        "A picture is marked as unlike all that the network learned from where its similarity to the nearest of "
        f"{outliers['references']:,} training images is below {outliers['threshold']:.3f}, which "
        f"{outliers['kept']:.0%} of the validation images reach (nearest neighbours in feature space, arXiv "
        "2204.06507)."
    )


def _answers(card: dict[str, Any]) -> str:
    """When the file answers, which its threshold alone decides: above 1 it never does."""
    if card["threshold"] > 1:
        return "Every image is answered with “unsure”: none of the answers would be right often enough"
    answers = (
        f"{card['answered']:.0%} of the validation images get an answer, {card['wrong']:.0%} of these a wrong one"
        if card["answered"]
        else "fitted on half of the validation images, a threshold leaves none of the others an answer"
    )
    return f"A confidence below {card['threshold']:.3f} is answered with “unsure”: {answers}"


def _proven(card: dict[str, Any]) -> str:
    """What the validation images show of the share of wrong answers; not in the files of mien 0.2."""
    if not card.get("wrong_at_most") or not card["answered"] or card["threshold"] > 1:
        return ""
    return (
        f"On these {card['images']:,} images, that shows with 95 % confidence that at most "
        f"{card['wrong_at_most']:.0%} of the answers are wrong (Wilson). "
    )


def _origin(card: dict[str, Any]) -> str:
    spent = (
        f", {count(card['epochs'], 'epoch')}, {count(round(card['seconds']), 'second')}" if card.get("seconds") else ""
    )
    where = f" on {card['hardware']} ({card.get('precision', '')})" if card.get("hardware") else ""
    commit = f", commit `{card['commit']}`" if card.get("commit") else ""
    teachers = f", taught by {', '.join(card['teachers'])}" if card.get("teachers") else ""
    command = f"`{card.get('command') or _command(card)}`"
    if parts := card.get("average"):
        shares = ", ".join(f"{100 * part['share']:.3g}% `{part['recipe']}`" for part in parts)
        command = f"`mien average`, the mean of the weights of {shares}"
    if adopted := card.get("adopted"):
        command, commit = f"Adopted from `{adopted}`, trained elsewhere", ""
    judged = card.get("judged")
    figures = f" Its figures were worked out on {judged}." if judged and judged != card.get("date") else ""
    return f"{command}{teachers}{spent}{where}; mien {card.get('mien', '?')}{commit}.{figures}"


def _command(card: dict[str, Any]) -> str:
    """Of an export from before its command was noted: it does not tell which settings were changed."""
    return f"mien run {card.get('recipe', '?')} --seed {card.get('seed', 0)}"
