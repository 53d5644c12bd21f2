"""Every setting of an experiment: Recipe and the groups it is made of; unknown keys are refused."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, create_model, field_validator, model_validator

from mien.config.base import Settings
from mien.config.model import Model, model_settings
from mien.errors import UsageError, nearest

Overrides = dict[str, Any]
SOURCES = (
    *("folder", "table", "fer2013", "ferplus", "raf_db", "affectnet", "tiny_imagenet", "dogs_vs_cats"),
    *("parquet", "webdataset", "drawn_faces"),
)
WeightScheme = Literal["none", "inverse", "sqrt", "effective"]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Data(Settings):
    """Which images, how they are split, and how each becomes `channels` x `size` x `size` pixels."""

    source: str = Field(
        default="folder",
        description=f"Reader of the images: one of {', '.join(SOURCES)}; or MODULE:FUNCTION, a reader of your own, "
        "looked for where you start.",
    )
    path: Path | None = Field(
        default=None,
        description="Folder or file the images are read from, or hf-hub:OWNER/NAME, a data set of the hub.",
    )
    encoding: str | None = Field(
        default=None,
        description="Encoding of a table or list that is not UTF-8, such as gbk, cp1251 or cp1252.",
    )
    size: int = Field(default=48, ge=8, le=1024, description="Side of the square images, in pixels.")
    channels: Literal[1, 3] = Field(default=1, description="1 for grey, 3 for colour (RGB).")
    fit: Literal["crop", "pad", "stretch"] = Field(
        default="crop", description="How a picture that is not square becomes square."
    )
    interpolation: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"] | None = Field(
        default=None,
        description="Pillow's filter for resizing. None: as a network of timm's was trained on them, bilinear for "
        "others.",
    )
    resize_size: int | None = Field(
        default=None,
        ge=8,
        le=4096,
        description="The shorter side (fit stretch: both) is resized to it, then the middle of size x size is cut out. "
        "None: as for interpolation; others are resized and cut in one go.",
    )
    rounding: Literal["even", "down"] | None = Field(
        default=None,
        description="With resize_size, of half a pixel at the edge of what is cut out: even is torchvision's way, down "
        "that of transformers.",
    )
    mean: float | tuple[float, float, float] | None = Field(
        default=None,
        description="Subtracted from pixels scaled to 0..1: one number, or one a colour with commas between them. "
        "None: what the checkpoint of model.init, or a network of timm's, was trained with; 0.5 for others.",
    )
    std: float | tuple[float, float, float] | None = Field(
        default=None, description="Pixels are divided by it, after the mean; None as for mean."
    )
    val_split: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description="Share of train held out where there is no validation split; 1 leaves nothing to train on.",
    )
    folds: int = Field(default=0, ge=0, description="Cross-validation: how many folds (0: none).")
    fold: Annotated[int, Field(ge=0)] | Literal["all"] | None = Field(
        default=None,
        description="Which fold is the validation split, from 0; not given: each of them in turn. all: none, for a run "
        "on everything, which the folds have scored.",
    )
    split_seed: int = Field(default=0, ge=0, description="Seed of the held-out share or the folds.")
    train_fraction: float = Field(default=1.0, gt=0, le=1, description="Stratified share of train to use.")
    fraction_seed: int = Field(default=0, ge=0, description="Seed of that share; of one seed, smaller lie in larger.")
    drop_blank: bool = Field(
        default=True, description="Leave images that show nothing (one single colour) out of train."
    )
    drop_leaks: bool | Literal["near"] = Field(
        default=False,
        description="Leave train images out that are exact copies of validation or test images; near: near copies too "
        "(see mien data audit), and held-out shares and folds keep all images of one photograph together.",
    )
    without: tuple[str, ...] = Field(default=(), description="Classes whose images are left out, such as contempt.")
    soft_labels: bool = Field(
        default=True,
        description="Train on the classes' probabilities where the source has them (the votes of ferplus); False: on "
        "the most probable class.",
    )
    skip_bad: bool = Field(default=False, description="Go on without images that cannot be read, and count them.")
    images: int = Field(default=3000, ge=70, description="How many faces drawn_faces draws for train.")
    clutter: bool = Field(
        default=False, description="drawn_faces draws heads anywhere, and as much detail off the features as on them."
    )

    @field_validator("path")
    @classmethod
    def _of_home(cls, path: Path | None) -> Path | None:
        return path and Path(os.path.expanduser(path))  # which no shell has read in --data.path=~/pictures

    @field_validator("source")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in SOURCES and ":" not in value:
            raise ValueError(f"there is no such reader.{nearest(value, SOURCES)} There are {', '.join(SOURCES)}")
        return value

    @field_validator("channels", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if value in ("1", "3") else value  # a Literal does not read '3', as a flag gives it

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_or_each(cls, value: Any) -> Any:
        """Read what a flag or a variable gives as text: 0.485,0.456,0.406."""
        if not isinstance(value, str):
            return value
        try:
            numbers = tuple(float(part) for part in value.strip("[( )]").split(","))
        except ValueError:
            numbers = ()
        if len(numbers) not in (1, 3):
            raise ValueError("give one number, or one for each of three colours, such as 0.485,0.456,0.406")
        return numbers if len(numbers) == 3 else numbers[0]


class Augment(Settings):
    """Random changes of training images. Each image draws its own; probabilities lie in 0..1."""

    hflip: float = Field(default=0.0, ge=0, le=1, description="Probability of a left-right flip.")
    vflip: float = Field(default=0.0, ge=0, le=1, description="Probability of an upside-down flip.")
    rotate: float = Field(default=0.0, ge=0, le=180, description="Largest rotation, degrees.")
    translate: float = Field(default=0.0, ge=0, le=1, description="Largest shift, share of the side.")
    scale: tuple[float, float] = Field(default=(1.0, 1.0), description="Range of the zoom, such as 0.9 1.1.")
    shear: float = Field(default=0.0, ge=0, le=60, description="Largest shear, degrees.")
    crop: int = Field(default=0, ge=0, description="Train on random crops of this side, in pixels; 0 is off.")
    brightness: float = Field(default=0.0, ge=0, le=1, description="Largest change of brightness, added.")
    contrast: float = Field(default=0.0, ge=0, le=1, description="Largest relative change of contrast.")
    noise: float = Field(
        default=0.0, ge=0, le=1, description="Largest standard deviation of Gaussian noise, share of the pixels' range."
    )
    erase: float = Field(default=0.0, ge=0, le=1, description="Probability that a rectangle is erased.")
    erase_area: tuple[float, float] = Field(
        default=(0.02, 0.2), description="Range of the erased share of the area, such as 0.02 0.2."
    )
    randaugment: int = Field(default=0, ge=0, le=4, description="RandAugment: operations for each image.")
    magnitude: float = Field(default=9.0, ge=0, le=10, description="RandAugment: strength, 0 to 10.")
    mixup: float = Field(default=0.0, ge=0, description="Alpha of mixup's Beta distribution; 0 is off.")
    cutmix: float = Field(default=0.0, ge=0, description="Alpha of cutmix's Beta distribution; 0 is off.")
    mix_prob: float = Field(default=1.0, ge=0, le=1, description="Share of batches that are mixed.")

    @field_validator("scale", "erase_area")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not 0 < low <= high:
            raise ValueError("a range goes from a smaller number above 0 to a larger one")
        return value

    def is_off(self) -> bool:
        """Whether training images stay as they are."""
        of_pixels = (self.brightness, self.contrast, self.noise, self.erase, self.randaugment, self.mixup, self.cutmix)
        of_place = (self.hflip, self.vflip, self.rotate, self.translate, self.shear, self.crop)
        return self.scale == (1.0, 1.0) and not any((*of_pixels, *of_place))


class Train(Settings):
    """Optimizer, schedule and everything else that happens between the first and the last step."""

    epochs: int = Field(default=10, ge=1, description="Passes over the training images.")
    batch_size: int = Field(default=128, ge=1, description="Images a batch, over all processes.")
    accumulate_grad_batches: int = Field(
        default=1, ge=1, description="Batches a step: their gradients are added up, as of one larger batch."
    )
    optimizer: Literal["sgd", "adam", "adamw", "muon"] = Field(
        default="adamw",
        description="sgd is Nesterov's. muon trains matrices and filters, adamw beside it norms, biases, positions and "
        "the head.",
    )
    lr: float = Field(default=1e-3, gt=0, description="Peak learning rate; about 0.02 for muon.")
    adam_lr: float = Field(default=2e-3, gt=0, description="With muon: peak learning rate of what adamw trains.")
    weight_decay: float = Field(default=0.0, ge=0, description="Not applied to biases, norms, positions.")
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="Momentum of sgd; one_cycle moves it from 0.95 to 0.85 and back."
    )
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999),
        description="Decays of adam's and adamw's two averages; one_cycle moves the first from 0.95 to 0.85 and back.",
    )
    schedule: Literal["constant", "cosine", "one_cycle", "plateau"] = Field(
        default="cosine", description="Learning rate over the run; plateau watches the validation loss."
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="Rise of the learning rate; 0 is none (one_cycle: 30 %)."
    )
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="Share of the target given to all classes.")
    class_weights: WeightScheme | Mapping[str, float] = Field(
        default="none",
        description="What an image counts in the loss: one over its class's count, over the count's square root, over "
        "its effective number (arXiv 1901.05555), or your own weights, '{cat: 2, dog: 1}'.",
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        default="shuffle", description="balanced draws each class equally often, with replacement."
    )
    trainable: Literal["all", "head", "last_blocks", "attention"] = Field(
        default="all",
        description="What trains; the rest stays as it is, in eval mode. head without augmentation runs the backbone "
        "once; last_blocks adds the last blocks and the norm after them, attention the blocks' attention.",
    )
    last_blocks: int = Field(default=0, ge=0, description="How many blocks train, with trainable last_blocks.")
    freeze_batch_norm: bool = Field(
        default=False,
        description="Batch norms keep the means and variances that they came with, as is usual for fine-tuning on few "
        "pictures; their weights and biases train.",
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Learning rate of each block over that of the one above it, the head's being lr; 1 is off.",
    )
    unfreeze: Mapping[int, int | tuple[int, ...]] = Field(
        default={},
        description="Gradual unfreezing, '{epoch: block, epoch: [block, block]}': epochs from 1, blocks from 0. All "
        "but the head is frozen at first.",
    )
    ema: float = Field(default=0.0, ge=0, lt=1, description="Decay of the weights' moving average; 0 is off.")
    gradient_clip: float = Field(default=0.0, ge=0, description="Largest gradient norm; 0 is off.")
    early_stopping: int = Field(default=0, ge=0, description="Epochs without a better validation score; 0 is off.")
    monitor: Literal["accuracy", "loss"] = Field(default="accuracy", description="What the best epoch is best at.")
    checkpoint_every: int = Field(default=0, ge=0, description="Also keep every n-th epoch; 0 keeps best and last.")
    checkpoint_minutes: float = Field(
        default=0.0, ge=0, description="Save so often within an epoch, to go on from there; 0 saves at its end alone."
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="auto is bf16 where the hardware computes in it, else fp32; on a CPU also fp32 for depthwise "
        "convolutions, which train slowly in bf16.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Keep what the blocks take and give alone, and compute what is between again for the gradients: "
        "much less memory, about a third more time.",
    )
    compile: bool = Field(default=False, description="torch.compile the model (needs a C++ compiler).")
    processes: int = Field(
        default=1,
        ge=1,
        description="Processes (or GPUs) that share each batch; torchrun and srun say it themselves.",
    )
    sync_batchnorm: bool = Field(
        default=True, description="Of several processes, batch norm sees the whole batch, not each one's own share."
    )
    logger: Literal["none", "tensorboard", "mlflow", "wandb"] = Field(
        default="none", description="Also log curves, confusion matrix and surest mistakes there, in the run folder."
    )

    @model_validator(mode="before")
    @classmethod
    def _tensorboard(cls, values: Any) -> Any:
        """Read the true or false that `tensorboard` was until mien 0.2."""
        if not isinstance(values, Mapping) or "tensorboard" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "tensorboard"}
        return {"logger": "tensorboard", **rest} if values["tensorboard"] in (True, "true") else rest

    @field_validator("class_weights", mode="before")
    @classmethod
    def _read_weights(cls, value: Any) -> Any:
        """Read what is given as text, '{cat: 2}', and the true or false of mien 0.2."""
        if isinstance(value, bool) or value in ("true", "false"):
            return "inverse" if value in (True, "true") else "none"
        read = parsed("train.class_weights", value) if isinstance(value, str) and value.startswith("{") else value
        weights = list(read.values()) if isinstance(read, Mapping) else []
        own = isinstance(read, Mapping) and all(isinstance(w, (int, float)) and 0 < w < math.inf for w in weights)
        if not own and read not in get_args(WeightScheme):
            raise ValueError(
                "give none, inverse, sqrt, effective, or numbers for classes, such as '{cat: 2, dog: 1}', each above "
                "0: a class that is to count nothing is left out by `data.without`"
            )
        return read

    @field_validator("unfreeze", mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        """Read what a flag or a variable gives as text: '{2: 11, 4: [9, 10]}'."""
        read = parsed("train.unfreeze", value) if isinstance(value, str) else value
        if not isinstance(read, Mapping):
            raise ValueError("give the blocks of each epoch, such as '{2: 11, 4: [9, 10]}'")
        return read


class Distill(Settings):
    """What a student learns from trained networks beside the labels (arXiv 1503.02531, 2012.12877)."""

    teachers: tuple[str, ...] = Field(
        default=(),
        description="Runs, checkpoints or exports (mien:base) whose mean answer is learned, in "
        "place of the recipe's own.",
    )
    kind: Literal["soft", "hard"] = Field(
        default="soft", description="Learn the teachers' probabilities, or their most probable class as a label."
    )
    weight: float = Field(default=0.5, gt=0, le=1, description="Share of the loss; the labels have the rest.")
    temperature: float = Field(default=2.0, gt=0, description="Flattens soft answers: softmax(logits / temperature).")
    stored: bool = Field(
        default=False,
        description="Ask once for each image as it is (with hflip, mirrored too), and learn labels and answers as one "
        "soft label; else at each step, about what augmentation made of it.",
    )

    @model_validator(mode="after")
    def _soft_where_stored(self) -> Distill:
        if self.stored and self.kind == "hard":
            raise ValueError("stored answers are soft labels; kind 'hard' needs stored off")
        return self


class Pretrain(Settings):
    """A ViT that learns from images without their labels, by filling in patches (arXiv 2111.06377, 2111.09886)."""

    method: Literal["none", "mae", "simmim"] = Field(
        default="none",
        description="mae: the encoder sees the visible patches only. simmim: all of them, the masked ones blank.",
    )
    mask_ratio: float = Field(
        default=0.75, gt=0, lt=1, description="Share of the patches that are masked; the papers have 0.75 and 0.6."
    )
    decoder_dim: int = Field(
        default=128, ge=32, multiple_of=32, description="Width of mae's decoder, whose heads are 32 wide."
    )
    decoder_depth: int = Field(default=2, ge=1, description="Transformer blocks of mae's decoder.")


class Recipe(Settings):
    """Everything a run needs."""

    name: str = Field(default="custom", description="Names the run folder.")
    seed: int = Field(default=0, ge=0, description="Seed of weights, order and augmentation.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="Where to compute.")
    data: Data = Field(default_factory=Data)
    model: Model = Field(default_factory=Model)
    augment: Augment = Field(default_factory=Augment)
    train: Train = Field(default_factory=Train)
    distill: Distill = Field(default_factory=Distill)
    pretrain: Pretrain = Field(default_factory=Pretrain)

    @field_validator("name")
    @classmethod
    def _of_a_folder(cls, value: str) -> str:
        if value in ("", ".", "..") or set(value) & set("/\\\0") or len(value.encode("utf-8", "replace")) > 200:
            raise ValueError("the name becomes that of a folder: give one without / and \\, of at most 200 bytes")
        return value

    def with_(self, **sections: Any) -> Recipe:
        """Return a recipe with some settings changed: with_(train={"epochs": 5}, seed=1).

        Raises UsageError for a setting that does not exist, with the nearest one, or a value that it refuses.
        """
        from mien.config.layers import build

        return build(self.model_dump(), sections)

    @property
    def learns(self) -> Literal["labels", "patches"]:
        """What the run learns: the labels of images, as most do, or to fill in their masked patches."""
        return "labels" if self.pretrain.method == "none" else "patches"

    @property
    def watched(self) -> Literal["accuracy", "loss"]:
        """What the best epoch is best at on validation; without labels there is no accuracy."""
        return self.train.monitor if self.learns == "labels" else "loss"


def recipe_for(*networks: str) -> type[Recipe]:
    """Recipe with the sizes of these networks as fields, for flags and their help."""
    return create_model("Recipe", __base__=Recipe, model=(model_settings(*networks), Field(default=None)))


def parsed(name: str, value: str) -> Any:
    """A setting that was given as text, read as YAML. Raises UsageError naming the setting."""
    import yaml

    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"{name}={value} is no YAML value.") from error
