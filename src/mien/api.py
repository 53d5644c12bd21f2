"""What the command line does with runs and exports, as functions, and `Run`, what training gives.

`import mien` shows them all. Averages, sweeps, submissions and the preparing of data are of the command line alone.
Each verb imports what it needs when it is called, so that reading a face loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar, overload

from mien import plugins
from mien.config import Recipe
from mien.errors import UsageError, missing_extra
from mien.runs import RunFolder, is_run

if TYPE_CHECKING:
    from torch import nn

    from mien.evaluate.compare import Comparison
    from mien.evaluate.embedding import Embedding
    from mien.evaluate.training_pictures import TrainingPicture
    from mien.explain import Explanation
    from mien.explain.explanation import ImageLike
    from mien.export import Export, WeightType
    from mien.pretrained import Classifier
    from mien.proof import Proof
    from mien.runs import Scores
    from mien.runtime import Detector, Reader

    Split = Literal["validation", "test", "train"]
    Place: TypeAlias = Mapping[str, Any] | str | Path
    Source: TypeAlias = "str | Path | Run"

P = ParamSpec("P")
T = TypeVar("T")


def _verb(function: Callable[P, T]) -> Callable[P, T]:
    """Say which extra to install where a verb needs a package that is not there."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise missing_extra(error) or error from error

    return called


class Run(RunFolder):
    """A run folder with the verbs that can be said of it: `mien.train` gives one, `Run.open(path)` reads one.

    path: the folder. recipe: what was run. scores: by split, scores["validation"].accuracy. history: the learning
    curves, by column. env: versions, hardware, counts, warnings. predictions(split): every image's probabilities.
    """

    def evaluate(self, split: Split = "validation", **options: Any) -> Scores:
        """As `mien.evaluate(run, split)`."""
        return evaluate(self, split, **options)

    def explain(self, image: ImageLike, **options: Any) -> Explanation:
        """As `mien.explain(run, image)`."""
        return explain(self, image, **options)

    @_verb
    def nearest(self, image: ImageLike, n: int = 5, *, data: Place | None = None) -> tuple[TrainingPicture, ...]:
        """Return the n training pictures whose features are most like those of a picture, the nearest first.

        image: as of `mien.explain`. data: where the run's images lie now, where they were moved.
        """
        from mien.evaluate.training_pictures import nearest_training
        from mien.explain.explanation import seen

        with _reading(data=data):
            network = from_pretrained(self)
            return nearest_training(self.path, network, seen(network, image), n)[0]

    def export(self, out: str | Path | None = None, **options: Any) -> Export:
        """As `mien.export(run, out)`."""
        return export(self, out, **options)

    @_verb
    def report(
        self, *, explain: bool = False, by: str | None = None, table: str | Path | None = None,
        data: Place | None = None,
    ) -> Path:  # fmt: skip
        """Write the run's page, report.html, and return its path.

        explain: with maps of the worst mistakes. by, table: with subgroups, as in `mien.evaluate`.
        """
        from mien.report import write_report

        with _reading(data=data):
            return write_report(self.path, explain=explain, by=by, table=_file(table))

    def load(self) -> Reader:
        """As `mien.load(run)`."""
        return load(self)


def recipe(name: str | Path, /, **sections: Any) -> Recipe:
    """Return a recipe by its name, or from a .py file that defines one, with some settings changed.

    sections: data={"path": "pictures"}, train={"epochs": 5}, seed=1 and so on; see `Recipe`.
    Raises UsageError for a name or a setting that does not exist, with the nearest one.
    """
    from mien.recipes import load as load_recipe

    return load_recipe(str(name))[0].with_(**sections)


@_verb
def train(recipe: Recipe, out: str | Path | None = None, *, overwrite: bool = False) -> Run:
    """Train a recipe from the start, score it on validation and write its page.

    out: the run folder; runs/RECIPE-DATE-SEED if not given. overwrite: replace the run that is there.
    Raises UsageError for settings that do not fit, or an `out` that is in use; MissingError for data that is not
    there; DataError for pictures that cannot be read.
    """
    from mien.train.run import run as start

    return _finished(start(recipe, None if out is None else Path(out), overwrite=overwrite))


@_verb
def resume(
    run: Source, *, epochs: int | None = None, data: Place | None = None, init: str | Path | None = None,
    teachers: Sequence[str | Path] = (), allow_code: Sequence[str] = (),
) -> Run:  # fmt: skip
    """Go on with a run after its last finished epoch; what is finished comes back as it is.

    epochs: how many it is to have in all, more than it has: it goes on from its last weights and optimizer, with the
    schedule stretched to the new length, and its scores are made anew.
    data: {"path": FOLDER} or FOLDER, where its images lie now if they were moved, as in every verb that opens a run's
    images. init, teachers: where the networks lie now that it starts and learns from, if they were moved.
    allow_code: names MODULE:NAME (or one) in the run's files that may be imported, as in every verb that reads files.
    """
    from mien.runs.folder import is_finished
    from mien.train.run import resume as go_on

    with _reading(allow_code, data, init, teachers):
        folder = _run_path(run, "resume")
        done = is_finished(folder) and epochs is None
        return Run.open(folder) if done else _finished(go_on(folder, epochs))


@_verb
def adopt(
    source: str | Path, out: str | Path | None = None, *, labels: Sequence[str] = (), data: Place | None = None,
    output: str | None = None, overwrite: bool = False, **pixels: Any,
) -> Run:  # fmt: skip
    """Return a run of somebody's trained classifier, and score it where `data` are given; nothing is trained.

    source: an image classifier of transformers (its folder or hub id), weights with a head that `from_pretrained`
    reads, or an .onnx file. labels: names of its classes in the order of its outputs, where it does not say them. data:
    a folder of images, or settings of a data section; without, `evaluate(run, data=...)` scores it later. output: which
    of an .onnx file's outputs has the classes. pixels: size, channels, mean, std, fit, interpolation and resize_size of
    its input, where it does not say them (an .onnx file never says mean and std, of pixels in 0..1).
    Raises UsageError for what must be said and is not, MissingError for what is not there, DataError for a source that
    is no such classifier, or data with a class that it does not know.
    """
    from mien.adopt import adopt as write

    place = None if out is None else Path(out)
    chosen = None if data is None else _settings(data)
    folder = write(source, place, labels=labels, output=output, data=chosen, pixels=pixels, overwrite=overwrite)
    return _finished(folder) if chosen else Run.open(folder)


@_verb
def evaluate(
    model: Source, split: Split | Literal["all"] = "validation", *, data: Place | None = None, by: str | None = None,
    table: str | Path | None = None, allow_code: Sequence[str] = (),
) -> Scores:  # fmt: skip
    """Score a run on a split of its data, or an export on any data.

    model: a Run or its folder; or, with `data`, an .onnx file, 'mien:tiny' or 'hf-hub:OWNER/NAME'.
    split: choose on validation; every reading of test is noted in the run. 'all': every image, for exports and adopted
    runs.
    data: where the images of an export lie, "pictures" or {"path": "pictures"}, or more settings of a recipe's data
    section. Of an adopted run without data: those that it is to have. Of a run whose images were moved: where they lie
    now, the path alone.
    by: a column of the data's table by which to score subgroups as well, `scores.subgroups`. table: another table with
    that column, and the pictures' names in a column path.
    """
    from mien.evaluate.exported import evaluate_export
    from mien.evaluate.split import evaluate as score_run
    from mien.runs.folder import is_without_data
    from mien.runtime.network import Network

    place = _path(model)
    if data is not None and not (isinstance(place, Path) and is_run(place)):
        return evaluate_export(
            Network.open(place), Recipe().with_(data=_settings(data)).data, split, by=by, table=_file(table)
        )
    if _is_network(place):
        raise UsageError(f"{place} has no data of its own. Say on which to score it: give `data`, a folder of images.")
    if data is not None and is_without_data(Path(place)):
        from mien.adopt import meet

        meet(Path(place), _settings(data))
        data = None
    with _reading(allow_code, data):
        return score_run(place, split, by=by, table=_file(table))


@_verb
def compare(
    *runs: Source, split: Split = "validation", by: str | None = None, table: str | Path | None = None,
    data: Place | None = None, allow_code: Sequence[str] = (),
) -> Comparison:  # fmt: skip
    """Compare runs on the same images: scores, learning curves, paired tests (McNemar, corrected by Holm).

    by, table: within subgroups as well, as in `evaluate`.
    Raises UsageError for fewer than two runs, or runs scored on other images.
    """
    from mien.evaluate.compare import compare as compare_runs

    with _reading(allow_code, data):
        return compare_runs([_run_path(run, "compare") for run in runs], split, by=by, table=_file(table))


@_verb
def explain(
    model: Classifier | Source,
    image: ImageLike,
    methods: Sequence[str] | None = None,
    target: str | int | None = None,
    *,
    verdicts: bool = True,
    nearest: int = 5,
    data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Explanation:
    """Open a trained model up and follow one picture through it.

    model: a Run or its folder, an .onnx file of mien's, 'mien:base', or what `from_pretrained` gives.
    image: a path, a PIL image, or a uint8 array (H, W) or (H, W, 3); of an animation, the first frame.
    methods: names out of `mien.explain.attribution.methods_of(model)`, None for all. target: the class to explain, by
    name or number; None for the predicted one. verdicts: also measure how far each map can be believed, which takes
    most of the time. nearest: of a run, how many of the training pictures that are most like this one to look for;
    data: where its images lie now.
    Raises UsageError for a method or class that the model does not have, MissingError and DataError for a picture that
    is not there or cannot be read.
    """
    from torch import nn

    from mien.explain import explain as look_inside

    if isinstance(model, nn.Module):
        return look_inside(model, image, methods, target, verdicts=verdicts)
    place = _path(model)
    run = place if isinstance(place, Path) and is_run(place) else None
    with _reading(allow_code, data):
        opened = from_pretrained(model, allow_code=allow_code)
        return look_inside(opened, image, methods, target, verdicts=verdicts, run=run, nearest=nearest)


@_verb
def embed(
    where: Source | Mapping[str, Any],
    model: Source | None = None,
    *,
    data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Embedding:
    """Send pictures through a network and return what its head would read of each: `Embedding.features`, (n, D).

    where: a folder of images, a table, a data section such as {"source": "fer2013", "path": "FER2013"}, or a run, whose
    images and network are taken. model: the network, as of `load`; if not given the run's own, mien:base for
    expressions, mien:vit-tiny-imagenet for everything else.
    Raises MissingError for pictures that are not there, UsageError for a network that does not part features and head.
    """
    from mien import config
    from mien.data import guess_source
    from mien.evaluate.embedding import embed as look
    from mien.evaluate.embedding import of_run

    network = None if model is None else str(_path(model))
    with _reading(allow_code, data):
        if isinstance(where, Mapping):
            return look(config.build({"data": dict(where)}).data, network)
        place = Path(_path(where))
        if is_run(place):
            return look(of_run(place), network or str(place))
        return look(config.build({"data": {"path": place, "source": guess_source(place)}}).data, network)


@_verb
def export(
    run: Source,
    out: str | Path | None = None,
    *,
    weights: WeightType = "fp16",
    error_rate: float = 0.2,
    coverage: float = 0.9,
    outliers: bool = True,
    data: Place | None = None,
    allow_code: Sequence[str] = (),
) -> Export:
    """Write a finished run as one .onnx file, by default RUN/model.onnx, that `load` reads without torch.

    weights: 'fp16', 'fp32' or 'int8'. error_rate: the share of wrong answers that the threshold for "unsure" allows.
    coverage: the share of prediction sets that are to hold the true class. outliers: False: the file does not tell what
    is unlike its training images, and up to 1,500 of them are not read.
    Raises MissingError for a run that is not finished, MienError when the file's answers are not the run's.
    """
    from mien.export import export as write

    with _reading(allow_code, data):
        return write(
            _run_path(run, "export"),
            None if out is None else Path(out),
            weights=weights,
            error_rate=error_rate,
            coverage=coverage,
            outliers=outliers,
        )


@_verb
def load(
    where: Source | None = None, detector: Detector | str | Path | None = None, margin: float = 0.0, threads: int = 0,
    *, allow_code: Sequence[str] = (),
) -> Reader:  # fmt: skip
    """Return a Reader of pictures: an .onnx file, 'mien:base', 'hf-hub:OWNER/NAME', a Run or its folder.

    where: the network; None is the first that comes with mien, as for `mien predict`.

    A run that was never exported is exported first, which takes torch; all else does without.
    detector: finds the faces: 'yunet' (if not given), 'haar', a file of YuNet's weights, or an own one. margin: what is
    shown around a face, as a share of its side.
    threads: 0 is one for each core.
    """
    from mien.runtime import load as open_reader

    place = None if where is None else _path(where)
    if isinstance(place, Path) and is_run(place) and not (place / "model.onnx").is_file():
        export(place, allow_code=allow_code)
    return open_reader(place, detector, margin, threads)


@_verb
def from_pretrained(
    where: Source, labels: tuple[str, ...] | None = None, *, allow_code: Sequence[str] = (), **sizes: Any
) -> Classifier:
    """Return a network ready to use: calling it maps scaled images (B, C, H, W) to logits (B, K).

    where: a Run or its folder, a file or folder of weights, an .onnx file of mien's, 'mien:base', 'hf-hub:OWNER/NAME'.
    labels: the classes of a new head; None keeps the checkpoint's own. sizes: what may differ from the checkpoint
    (img_size, in_chans, drop_rate ...).
    """
    from mien.pretrained import from_pretrained as read

    with plugins.allowing(allow_code):
        return read(_path(where), labels, **sizes)


@_verb
def create_model(name: str, **sizes: Any) -> nn.Module:
    """Build a network with random weights; calling it maps (B, in_chans, img_size, img_size) to logits (B, K).

    name: one of `list_models()`, or 'package.module:Class' for an own network. sizes: img_size, in_chans, num_classes
    and what else the network takes, in timm's words.
    Raises UsageError for an unknown network, a size that it does not have or a value that it refuses.
    """
    from mien.models import create_model as build

    return build(name, **sizes)


@overload
def verify(path: str | Path | Run) -> list[str]: ...


@overload
def verify(
    path: str | Path | Run,
    *,
    data: Place,
    split: Literal["validation", "test"] = "validation",
    robustness: bool = False,
    allow_code: Sequence[str] = (),
) -> Proof: ...


@_verb
def verify(
    path: str | Path | Run,
    *,
    data: Place | None = None,
    split: Literal["validation", "test"] = "validation",
    robustness: bool = False,
    allow_code: Sequence[str] = (),
) -> list[str] | Proof:
    """Read all of a run, a store of images or a file; return a sentence for each thing that is not as mien wrote it.

    data: images, as for `evaluate`. With it, what an export ('mien:base' too) or a run says of itself is worked out
    again, and the result is a `Proof`: each claim with what was found and whether it holds.
    split: 'test' reads the test split too, where there are scores of it; a run notes that.
    robustness: score changed images too, which takes twenty times as long as all else.
    """
    from mien.verify import verify as look

    place = _path(path)
    if data is None:
        return look(Path(place))

    from mien.proof import prove

    settings = _settings(data)
    if not is_run(Path(place)):
        with plugins.allowing(allow_code):
            return prove(place, settings, split=split, robustness=robustness)
    own = RunFolder.open(place).recipe.data
    changed = {key: value for key, value in settings.items() if getattr(own, key, None) != value}
    with _reading(allow_code, changed or None):
        return prove(place, {}, split=split, robustness=robustness)


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the networks that match a pattern such as '*vit*'."""
    from mien.models import list_models as names

    return names(pattern)


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of the recipes that match a pattern such as 'fer2013_*'."""
    from fnmatch import filter as matching

    from mien.recipes import names

    return matching(names(), pattern)


@contextmanager
def _reading(
    allow_code: Sequence[str] = (), data: Place | None = None, init: str | Path | None = None,
    teachers: Sequence[str | Path] = (),
) -> Iterator[None]:  # fmt: skip
    """Within it files may bring these names of code, and images and networks of runs lie where these say."""
    from mien.runs.data import lying_at

    place = None if data is None else _settings(data)
    if place is not None and place.keys() != {"path"}:
        raise UsageError(
            "A run has its own data settings; say only where its images lie now: {'path': FOLDER}, not "
            f"{dict(place)}."
        )
    images, start = Path(place["path"]) if place else None, None if init is None else str(init)
    with plugins.allowing(allow_code), lying_at(images, init=start, teachers=list(map(str, teachers))):
        yield


def _settings(data: Place) -> Mapping[str, Any]:
    """Settings of a data section; a path alone says where the images lie."""
    return {"path": data} if isinstance(data, str | Path) else data


def _file(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path).expanduser()


def _finished(folder: Path) -> Run:
    from mien.report import write_report
    from mien.runs.writing import is_first_process

    if is_first_process():
        write_report(folder)
    return Run.open(folder)


def _path(source: Source) -> Any:
    """The place of a run; a path, or a name such as mien:base, as it is."""
    if isinstance(source, RunFolder):
        return source.path
    text = str(source)
    return text if text.startswith(("mien:", "hf-hub:", "timm:")) else Path(source).expanduser()


def _run_path(source: Source, verb: str) -> Path:
    """The place of a run. Raises UsageError for a network alone, which has no recipe, curves or data of its own."""
    place = _path(source)
    if _is_network(place):
        raise UsageError(f"{place} is a network and no run: `{verb}` takes runs, as folders or as `mien.Run`.")
    return Path(place)


def _is_network(place: str | Path) -> bool:
    """Whether a place that `_path` gives is an export, or a network known by its name."""
    from mien.runtime.network import is_export

    return isinstance(place, str) or (is_export(place) and not is_run(place))
