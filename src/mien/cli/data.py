"""`mien data`: look at a data set before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from mien import config, media
from mien.cli.app import Json, Path_
from mien.cli.data_settings import DataSettable, settings_of
from mien.cli.forecast import forecast
from mien.cli.output import print_json, print_lines, quoted
from mien.cli.review import review
from mien.errors import MienError, UsageError
from mien.progress import note

if TYPE_CHECKING:
    from mien.data.audit import Audit

data = App(name="data", help="Look at a data set before training on it.")
data.command(forecast)
data.command(review)


@data.command
def prepare(path: Path_, *, out: Path | None = None, json_: Json = False, settings: DataSettable = None) -> None:
    """Decode a data set once into a store, which every later run opens at once.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        Where the store goes; the user's cache if not given.
    """
    from mien.data import prepare as prepare_store

    store = prepare_store(settings_of(path, settings), out)
    counts = {split: int(store.class_counts(split).sum()) for split in ("train", "validation", "test")}
    if json_:
        found = {"images": counts, "classes": store.classes, "left_out": store.left_out}
        print_json(found | {"unreadable": list(store.unreadable), "fingerprint": store.fingerprint})
        return
    print_lines(
        ", ".join(f"{count:,} {split}" for split, count in counts.items() if count) + " images",
        f"{len(store.classes)} classes: {', '.join(store.classes)}",
        f"fingerprint: {store.fingerprint}",
    )
    left_out = {**store.left_out, "unreadable": len(store.unreadable)}
    if any(left_out.values()):
        print_lines(f"left out: {media.told(left_out)}")
    note(f"Next: mien data audit {quoted(path)}")


@data.command
def show(path: Path_, *, out: Path = Path("data.png"), settings: DataSettable = None) -> None:
    """Draw how many images each class has, and samples of each.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        The picture to write.
    """
    from mien.data import open_store
    from mien.data.show import show as draw

    draw(open_store(settings_of(path, settings)), out)
    print_lines(str(out))


@data.command
def audit(
    path: Path_,
    *,
    out: Path | None = None,
    near: Literal["on", "off"] = "on",
    sheet: Path | None = None,
    fail_on: str = "",
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Find copies and near copies, conflicting labels, small classes, blank, unreadable and odd-sized images.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    out
        Also write the names of the clean test (or validation) images, one a line.
    near
        Whether to look for near copies: photographs that are there again shifted, mirrored, lit or marked otherwise.
    sheet
        Also draw the near copies side by side into this PNG.
    fail_on
        Findings that make the exit code 1, such as copies,unreadable.
    """
    from mien.data import prepare as prepare_store
    from mien.data.audit import audit as audit_store
    from mien.data.audit import clean_names, write_names
    from mien.data.near import near_copies

    if near == "off" and (sheet or "near" in fail_on):
        raise UsageError("--near off: without near copies there are none to draw or to fail on.")
    chosen = settings_of(path, settings).with_(skip_bad=True)
    store = prepare_store(chosen)
    found = near_copies(store) if near == "on" else None
    findings = audit_store(store, found)
    split = "test" if store.has("test") else "validation"
    if out and not store.has(split):
        raise UsageError(f"--out {out}: {path} has neither test nor validation images, so there are no names to write.")
    if out:
        write_names(clean_names(store, split, found), out)
        note(f"{out}: the {split} images that have no {'near ' if found else ''}copy among the training images")
    if found and sheet:
        from mien.data.near.sheet import draw_sheet

        note(f"{sheet}: {draw_sheet(store, found, sheet):,} photographs with near copies, the least alike first")
    if json_:
        print_json(findings.to_dict())
    else:
        print_lines(*findings.describe().split("\n"))
        if findings.unreadable:
            note("Unreadable files stop a run: remove them, or train with --data.skip_bad")
        if findings.small_classes:
            note("Small classes are hardly learned: add images, or leave them out with --data.without")
        note(f"Next: {_next(chosen, findings)}")
    failed = findings.failed(fail_on.split(",") if fail_on else [])
    if failed:
        raise MienError(f"The audit found {', '.join(failed)}.")


def _next(chosen: config.Data, findings: Audit) -> str:
    """The command that trains on what was audited, without what stops or spoils it."""
    if chosen.source not in ("folder", "table"):
        return "mien recipes lists what trains on it"
    words = ["mien", "run", "folder_cnn", "--data.path", str(chosen.path)]
    words += ["--data.source", "table"] if chosen.source == "table" else []
    words += ["--data.encoding", chosen.encoding] if chosen.encoding else []
    words += ["--data.skip_bad"] if findings.unreadable else []
    enough = len(findings.classes) - len(findings.small_classes) >= 2
    words += [word for name in findings.small_classes if enough for word in ("--data.without", name)]
    return " ".join(map(quoted, words))
