"""What a sweep is to run: lists (or ranges) of values for the fields of a recipe, and the runs they make."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from mien import config
from mien.atomic import json_sha256, write_json
from mien.config import Recipe
from mien.errors import DataError, MissingError, SettingError, UsageError, nearest

Settings = dict[str, Any]  # by dotted names: {"train.lr": 0.001, "seed": 1}

OUTSIDE_BRACKETS = re.compile(r",(?![^\[]*\])(?![^{]*\})")
RANGE = re.compile(r"([^:,\[\]]+):([^:,\[\]]+)(:log)?")
LONGEST = 60  # characters of one value in a folder's name

FILE = "sweep.json"  # in the folder of a sweep
REPEATS = {"seed": "seed", "data.fold": "fold", "data.split_seed": "split"}  # none of their values is better: luck is


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; log draws small and large ones alike."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{shown(self.low)} to {shown(self.high)}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: its folder's name, its label for people and what it changes."""

    name: str
    label: str
    settings: Settings


@dataclass(frozen=True)
class Plan:
    """A sweep before it runs. Values are JSON's, so that a plan read back equals the one written.

    recipe, config: the recipe's name and the file of settings. layers: the settings below, later ones winning.
    fixed: flags that all runs share. fields: what is swept. pairs: the lists go side by side, not crossed.
    search: how many runs a search makes; 0 is a grid. prune: whether it gives up runs that do worse than most.
    """

    recipe: str | None
    config: str | None
    layers: list[dict[str, Any]]
    fixed: Settings
    fields: dict[str, list[Any] | Range]
    pairs: bool = False
    search: int = 0
    prune: bool = False

    @cached_property
    def short(self) -> dict[str, str]:
        """The last part of each field's name, where it tells the fields apart."""
        last = [key.rpartition(".")[2] for key in self.fields]
        return {key: name if last.count(name) == 1 else key for key, name in zip(self.fields, last, strict=True)}

    def trials(self) -> list[Trial]:
        """The runs of a grid (or of pairs), the first field changing slowest; a search proposes its own."""
        lists = [values for values in self.fields.values() if isinstance(values, list)]
        rows: Iterable[tuple[Any, ...]] = zip(*lists, strict=True) if self.pairs else itertools.product(*lists)
        return self.named([dict(zip(self.fields, row, strict=True)) for row in rows])

    def named(self, settings: list[Settings]) -> list[Trial]:
        """Each setting with a label and a folder name that is safe and its own."""
        found: dict[str, Trial] = {}
        for each in settings:
            name = unique = ",".join(f"{self.short[key]}={_safe(value)}" for key, value in each.items())
            for number in itertools.count(2):
                if unique not in found:
                    break
                unique = f"{name}-{number}"
            found[unique] = Trial(unique, self.label(each), each)
        return list(found.values())

    def label(self, settings: Settings) -> str:
        """'lr 0.001, seed 1': what tells a run from the others."""
        return ", ".join(f"{self.short[key]} {shown(value)}" for key, value in settings.items())

    def build(self, settings: Settings) -> Recipe:
        """The recipe of a run, as a run of its own would have it. Raises UsageError."""
        return config.build(*self.layers, nested({**self.fixed, **settings}))

    def probes(self) -> list[Settings]:
        """Settings that all must be right before anything trains: every run, or the ends of a search's ranges."""
        if not self.search:
            return [trial.settings for trial in self.trials()]
        ends = [[v.low, v.high] if isinstance(v, Range) else v for v in self.fields.values()]
        longest = max(map(len, ends))
        return [
            {key: values[min(i, len(values) - 1)] for key, values in zip(self.fields, ends, strict=True)}
            for i in range(longest)
        ]

    def command(self, settings: Settings) -> str:
        """The command that repeats one run."""
        words = ["mien", "run", *([self.recipe] if self.recipe else [])]
        words += ["--config", self.config] if self.config else []
        for key, value in {**self.fixed, **settings}.items():
            words += _flag(key, value)
        return shlex.join(words)

    def describe(self) -> str:
        """'train.lr 0.001, 0.0001 x seed 0, 1'."""
        lists = (
            f"{key} {values}" if isinstance(values, Range) else f"{key} {', '.join(map(shown, values))}"
            for key, values in self.fields.items()
        )
        crossed = (" beside " if self.pairs else " x ").join(lists)
        pruned = ", pruned" if self.prune else ""
        return f"{self.search} runs of a search over {crossed}{pruned}" if self.search else crossed

    def save(self, folder: Path) -> None:
        """Write the plan, and for a grid its runs in order, into the folder of a sweep."""
        values = asdict(self) | {"runs": [] if self.search else [trial.name for trial in self.trials()]}
        write_json(folder / FILE, values | {"sha256": json_sha256(values)})


def make_plan(
    recipe: str | None,
    file: Path | None,
    layers: list[dict[str, Any]],
    flags: Mapping[str, str],
    *,
    pairs: bool = False,
    search: int | None = None,
    prune: bool = False,
) -> Plan:
    """A plan from flags as they were typed, {"train.lr": "1e-3,1e-4"}; one value is fixed for all runs.

    Raises UsageError for a value that does not fit its field, and when nothing is left to sweep.
    """
    _refuse_search(flags, pairs, search)
    if prune:
        _refuse_pruning(flags, search)
    networks = _networks(layers, flags)
    values = {key: _values(key, text, search is not None, networks) for key, text in flags.items()}
    swept = {key: found for key, found in values.items() if isinstance(found, Range) or len(found) > 1}
    if not swept:
        raise UsageError("Nothing to sweep: give a setting several values, such as `train.lr` 1e-3,1e-4.")
    lengths = {key: len(found) for key, found in swept.items() if isinstance(found, list)}
    if pairs and len(set(lengths.values())) > 1:
        counts = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        raise UsageError(f"`pairs=True` needs lists of one length, but {counts} values.")
    fixed = {key: found[0] for key, found in values.items() if key not in swept and isinstance(found, list)}
    plan = Plan(
        recipe, str(file) if file else None, _plain(layers), fixed, swept,
        pairs=pairs, search=search or 0, prune=prune,
    )  # fmt: skip
    for settings in plan.probes():
        _refuse_everything(plan.build(settings))
    return plan


def fold_plan(recipe: str | None, file: Path | None, layers: list[dict[str, Any]], given: Settings, folds: int) -> Plan:
    """Every fold of a cross-validation, a run each. given: the settings that all of them share, by dotted names."""
    fields: dict[str, list[Any] | Range] = {"data.fold": list(range(folds))}
    return Plan(recipe, str(file) if file else None, _plain(layers), given, fields)


def _plain(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers as JSON has them, so that a plan read back equals the one written."""
    return list(json.loads(json.dumps(layers, default=str)))


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return (folder / FILE).is_file()


def read_plan(folder: Path) -> Plan:
    """The plan of a sweep's folder. Raises MissingError when it is none, DataError when sweep.json is damaged."""
    path = folder / FILE
    if not is_sweep(folder):
        raise MissingError(f"{folder} is not a sweep: it has no {FILE}. Sweeps lie under runs/sweep-*.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("sha256", None) not in (None, json_sha256(values)):  # mien 0.1 wrote none
            raise ValueError("it is not what was written")
        values.pop("runs")
        fields = {key: Range(**found) if isinstance(found, dict) else found for key, found in values["fields"].items()}
        plan = Plan(**{**values, "fields": fields})
        brought = [*plan.layers, nested(plan.fixed), *(nested(settings) for settings in plan.probes())]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}). Start the sweep again in another folder.") from error
    for values in brought:
        config.refuse_foreign_code(values, path)
    return plan


def refuse_changed(folder: Path, plan: Plan) -> None:
    """Raise UsageError when `folder` holds a sweep with another plan."""
    known = read_plan(folder)
    ways_out = "Choose another `out`, or `resume` that one."
    if [*_kind(known)] != [*_kind(plan)]:
        raise UsageError(f"{folder} holds another sweep: {known.describe()}; not {plan.describe()}. {ways_out}")
    for settings in plan.probes():
        was, now = known.build(settings), plan.build(settings)
        if was != now:
            raise UsageError(f"{folder} was started with other settings: {_difference(was, now)}. {ways_out}")


def _kind(plan: Plan) -> Iterator[Any]:
    """What makes two sweeps of one recipe different ones."""
    yield from (plan.fields, plan.pairs, plan.search, plan.prune)


def nested(settings: Settings) -> dict[str, Any]:
    """{"train.lr": 1, "seed": 2} -> {"train": {"lr": 1}, "seed": 2}."""
    result: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        (result.setdefault(section, {}) if section else result)[name] = value
    return result


def flat(values: Mapping[str, Any]) -> Settings:
    """The inverse of `nested`: {"train": {"lr": 1}, "seed": 2} -> {"train.lr": 1, "seed": 2}."""
    sections = {key: found for key, found in values.items() if isinstance(found, dict)}
    alone = {key: found for key, found in values.items() if key not in sections}
    return {f"{key}.{name}": value for key, found in sections.items() for name, value in found.items()} | alone


def parse(key: str, text: str, networks: Sequence[str] = ()) -> Any:
    """One value of a field: YAML where the field takes it so, else the text itself. Raises UsageError.

    networks: whose sizes the fields of `model` are; the default network's unless given.
    """
    section, name = _section(key, networks)
    problem: str | None = None
    for candidate in _readings(text):
        try:
            return to_jsonable_python(getattr(section(**{name: candidate}), name))
        except SettingError as error:
            problem = problem or error.problems[0][1].rpartition(", given ")[0]
    hint = " Lists stand in brackets: [0.9,1.1],[0.8,1.2]." if "tuple" in str(section.model_fields[name]) else ""
    raise SettingError([(key, f"{problem}, given {text!r}.{hint}")])


def shown(value: Any) -> str:
    """A value as a person writes it: 0.001, none, 0.9-1.1."""
    if isinstance(value, list):
        return "-".join(map(shown, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _networks(layers: list[dict[str, Any]], flags: Mapping[str, str]) -> list[str]:
    """The networks whose sizes are swept: those of the flags, else the one of the last layer that names one."""
    if named := flags.get("model.name"):
        return [name.strip() for name in named.split(",")]
    below = [layer["model"].get("name") for layer in layers if isinstance(layer.get("model"), Mapping)]
    return [name for name in below if isinstance(name, str) and name][-1:]


def _refuse_search(flags: Mapping[str, str], pairs: bool, search: int | None) -> None:
    if search is None:
        return
    if search < 1:
        raise UsageError(f"`search` {search}: give the number of runs, at least 1.")
    if pairs:
        raise UsageError("`pairs=True` joins the lists of a grid; a search draws every setting by itself. Give one.")
    for key, word in REPEATS.items():
        if set(flags.get(key, "")) & set(",:"):
            raise UsageError(
                f"A search over {word}s finds the luckiest one. Search with one `{key}`, then sweep the best settings "
                "over several of them."
            )


def _refuse_everything(recipe: Recipe) -> None:
    if recipe.data.fold == "all":
        raise UsageError(
            "`data.fold` all: a run on everything is scored by the folds, which says nothing against them. Sweep the "
            "folds, then train that run into their folder."
        )


def _refuse_pruning(flags: Mapping[str, str], search: int | None) -> None:
    if search is None:
        raise UsageError("`prune=True` gives up runs of a search; a grid trains all of its runs. Add `search=20`.")
    if OUTSIDE_BRACKETS.search(text := flags.get("train.epochs", "")) or ":" in text:
        raise UsageError(
            f"`train.epochs` {text}: runs are pruned by comparing them epoch by epoch, and these differ in length. "
            "Give one number, or leave `prune` out."
        )


def _values(key: str, text: str, searching: bool, networks: Sequence[str]) -> list[Any] | Range:
    found = RANGE.fullmatch(text)
    if found and _number(key, networks):
        if not searching:
            raise UsageError(f"`{key}` {text} is a range. Give a list, or search it: `search=20`.")
        return _range(key, text, (found[1], found[2]), found[3] is not None, networks)
    values = [parse(key, part.strip(), networks) for part in _parts(key, text)]
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise UsageError(f"`{key}` {text}: {shown(twice[0])} is given twice.")
    return values


def _parts(key: str, text: str) -> list[str]:
    parts = OUTSIDE_BRACKETS.split(text)
    if not all(part.strip() for part in parts):
        raise SettingError([(key, f"a value is missing in {text!r}. Write the list without a comma too many.")])
    return parts


def _range(key: str, text: str, ends: tuple[str, str], log: bool, networks: Sequence[str]) -> Range:
    low, high = ends
    found = Range(parse(key, low, networks), parse(key, high, networks), log)
    if not found.low < found.high:
        raise UsageError(f"`{key}` {text}: a range goes from a smaller number to a larger one.")
    if found.log and found.low <= 0:
        raise UsageError(f"`{key}` {text}: a logarithmic range starts above 0.")
    return found


def _number(key: str, networks: Sequence[str]) -> bool:
    section, name = _section(key, networks)
    annotation = section.model_fields[name].annotation
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return bool({*kinds} & {int, float})


def _section(key: str, networks: Sequence[str]) -> tuple[type[BaseModel], str]:
    """The group of settings that a key belongs to, and its name there. Raises UsageError where it has none."""
    section, _, name = key.rpartition(".")
    group: Any = Recipe.model_fields[section].annotation if section else Recipe
    if section == "model" and name not in group.model_fields:  # a size; name and init are the same for all
        group = config.model_settings(*networks)
    if name not in (known := group.model_fields):
        raise UsageError(f"Unknown key '{key}'.{nearest(name, known)} Known here: {', '.join(known)}.")
    return group, name


def _readings(text: str) -> list[Any]:
    try:
        return [yaml.safe_load(text), text]
    except yaml.YAMLError:
        return [text]


def _safe(value: Any) -> str:
    return re.sub(r"[^\w.+-]", "-", shown(value))[:LONGEST]


def _flag(key: str, value: Any) -> list[str]:
    if value is None:
        return [f"--{key}", "null"]
    if isinstance(value, bool):
        return [f"--{key}={str(value).lower()}"]
    if not isinstance(value, list):
        return [f"--{key}", str(value)]
    if key.startswith("model."):  # read whatever the network is
        return [word for each in value for word in (f"--{key}", str(each))]
    section, name = _section(key, ())
    annotation = section.model_fields[name].annotation
    words = [str(each) for each in value]
    if float in get_args(annotation) and get_origin(annotation) is not tuple:  # one number, or one for each colour
        return [f"--{key}", ",".join(words)]
    any_length = Ellipsis in [kind for each in get_args(annotation) for kind in get_args(each)]
    return [word for each in words for word in (f"--{key}", each)] if any_length else [f"--{key}", *words]


def _difference(was: Recipe, now: Recipe) -> str:
    """'train.epochs is 2 there, 5 here': the first setting in which two recipes differ."""
    for key, value in was:
        other = getattr(now, key)
        if value != other and isinstance(value, BaseModel):
            name = next(name for name, _ in value if getattr(value, name) != getattr(other, name, None))
            return f"{key}.{name} is {getattr(value, name)} there, {getattr(other, name, None)} here"
        if value != other:
            return f"{key} is {value} there, {other} here"
    return "nothing"
