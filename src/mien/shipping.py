"""The verbs by which a trained network leaves its run: for a file, a web page, the hub, a reader in Python.

They are functions of `mien.api`, as all verbs are. Reading a face loads no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from mien.arguments import file_of, is_exported, place_of, reading, run_place, verb
from mien.runs import is_run

if TYPE_CHECKING:
    from mien.arguments import Place, Source
    from mien.export import Export
    from mien.push import Push
    from mien.runtime import Detector, Reader
    from mien.tracing import WeightType
    from mien.web import WebFolder


@overload
def export(
    run: Source, out: str | Path | None = None, *, weights: WeightType = ..., error_rate: float = ...,
    coverage: float = ..., outliers: bool = ..., data: Place | None = ..., allow_code: Sequence[str] = ...,
    web: None = None, margin: float = ..., overwrite: bool = ...,
) -> Export: ...  # fmt: skip


@overload
def export(
    run: Source, out: str | Path | None = None, *, weights: WeightType = ..., error_rate: float = ...,
    coverage: float = ..., outliers: bool = ..., data: Place | None = ..., allow_code: Sequence[str] = ...,
    web: str | Path, margin: float = ..., overwrite: bool = ...,
) -> WebFolder: ...  # fmt: skip


@verb
def export(
    run: Source, out: str | Path | None = None, *, weights: WeightType = "fp16", error_rate: float = 0.2,
    coverage: float = 0.9, outliers: bool = True, data: Place | None = None, allow_code: Sequence[str] = (),
    web: str | Path | None = None, margin: float = 0.0, overwrite: bool = False,
) -> Export | WebFolder:  # fmt: skip
    """Write a finished run as one .onnx file, by default RUN/model.onnx, that `load` reads without torch.

    weights: 'fp16', 'fp32' or 'int8'. error_rate: the share of wrong answers that the threshold for "unsure" allows.
    coverage: the share of prediction sets that are to hold the true class. outliers: False: the file does not tell what
    is unlike its training images, and up to 1,500 of them are not read.
    web: also a folder for any static host, which is returned: the page of `mien serve` with the network in the browser.
    `run` may then be an .onnx file or 'mien:tiny', too. margin: what the network sees around a face there, as a share
    of its side. overwrite: replace the web folder that is there.
    Raises MissingError for a run that is not finished, MienError when the file's answers are not the run's, UsageError
    for a web folder that is in use.
    """
    from mien.web import refuse, write_web_folder

    place, file = place_of(run), file_of(out)
    options: dict[str, Any] = {"weights": weights, "error_rate": error_rate, "coverage": coverage, "outliers": outliers}
    exported = is_exported(place, web, out=file, margin=margin, overwrite=overwrite, **options)
    if web is not None:
        refuse(web, margin, overwrite)
    if not exported:
        from mien.export import export as write

        with reading(allow_code, data):
            done = write(run_place(run, "export"), file, **options)
    if web is None:
        return done
    return write_web_folder(place if exported else done.path, web, margin=margin, overwrite=overwrite)


@verb
def push(
    run: Source, repository: str, *, licence: str | None = None, private: bool = False, revision: str | None = None,
    message: str | None = None, overwrite: bool = False, dry_run: str | Path | None = None, data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Push:  # fmt: skip
    """Put a finished run on the Hugging Face hub as one commit: card, weights, settings and the sealed .onnx file.

    What was pushed is read by `load("hf-hub:OWNER/NAME")`, `from_pretrained`, `model.init`, and by transformers or timm
    where they have the network. No picture, no prediction and no path of this machine is uploaded.
    repository: OWNER/NAME, made if it is not there. licence: under which others may use the weights, in the hub's words
    (apache-2.0, cc-by-nc-4.0, other); an adopted run needs one. private: a new repository is for its owner alone.
    revision: a branch, made if it is not there. message: what the commit says. overwrite: also replace a model that
    mien did not put there. dry_run: a folder to write everything into, in place of the hub. data: where the run's
    images lie now, for a run that must be exported first.
    Raises UsageError for a name without owner, or a repository that holds another's model; MissingError for a run that
    is not finished, and without a token or the hub; MienError when the hub fails. Nothing is pushed then.
    """
    from mien.push import push as upload

    with reading(allow_code, data):
        return upload(
            run_place(run, "push"), repository, licence=licence, private=private, revision=revision, message=message,
            overwrite=overwrite, dry_run=file_of(dry_run),
        )  # fmt: skip


@verb
def load(
    where: Source | None = None, detector: Detector | str | Path | None = None, margin: float = 0.0, threads: int = 0,
    *, device: str = "cpu", allow_code: Sequence[str] = (),
) -> Reader:  # fmt: skip
    """Return a Reader of pictures: an .onnx file, 'mien:base', 'hf-hub:OWNER/NAME', a Run or its folder.

    where: the network; None is the first that comes with mien, as for `mien predict`.

    A run that was never exported is exported first, which takes torch; all else does without.
    detector: finds the faces: 'yunet' (if not given), 'haar', a file of YuNet's weights, or an own one. margin: what is
    shown around a face, as a share of its side.
    threads: 0 is one for each core. device: what computes the network: 'cpu', 'cuda', 'rocm', 'directml', 'openvino',
    'coreml', or 'auto' for the fastest that is there. Where it is not there, a warning says so and the CPU computes.
    """
    from mien.runtime import load as open_reader

    place = None if where is None else place_of(where)
    if isinstance(place, Path) and is_run(place) and not (place / "model.onnx").is_file():
        export(place, allow_code=allow_code)
    return open_reader(place, detector, margin, threads, device)
