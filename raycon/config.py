"""What a trial, a sweep, a repetition and an ablation study are: frozen dataclasses, with every default in one place.

These classes import nothing heavy. Bounds stand in the types; they are checked where a file is read (`raycon.space`),
so code that builds a `Trial` by hand goes through `raycon.space.trial_from`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from raycon.knobs import Count, Fraction, NonNegative, Positive, Whole

STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Bias:
    """Binds a cue to the label: a colour, or with `place: corruption` a kind of damage. `rate` is the share of training
    images whose cue is their label's own; validation and test cues are drawn uniformly, so that their accuracy is the
    unbiased one.

    `noise` and `binary` (pixels other than 0 become white, as in Biased-MNIST) belong to colours; `severity` and
    `families`, the corruptions of label 0, 1, ... by name (the first ten of `raycon.datasets.corruption_names.CUES`
    where there are none), to corruptions."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    rate: Fraction = 0.95
    place: Literal["background", "foreground", "corruption"] = "background"
    noise: NonNegative = 0.0
    binary: bool = False
    severity: Annotated[int, Ge(1), Le(5)] = 4
    families: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Your own images, for `data.dataset: folder`: image files and a CSV with a line for each, or class folders.

    `path` is absolute, or below the data folder (`RAYCON_DATA`, else `~/.cache/raycon`); `table` is the CSV in it.
    `image`, `label` and `split` are names of its columns: a path relative to `path`; the label, which becomes the
    attribute `class`; and train, validation (may be missing) or test. Without a split column (null), a fifth of the
    images is held out for testing, the same in every configuration. `attributes` are further columns, for groups and
    the like; `data.coarse` may name one whose value depends on the label alone.

    `table: null` reads folders as ImageNet has them, `train/<class>/*` and `val/<class>/*`; `val` is tested on, unless
    there is a `test/<class>/*` too. `classes` is then a text file in `path` that names the folders to take, one a line
    (the first word): a subset of the classes, as for ImageNet-100.

    `lists: NAME` reads the lists `NAME_train.txt`, `NAME_val.txt` (may be missing) and `NAME_test.txt` in `path`
    instead, in whose lines a path relative to `path` and the number of a class stand, as published for ImageNet-LT.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    path: str
    table: str | None = "metadata.csv"
    image: str = "image"
    label: str = "label"
    split: str | None = "split"
    attributes: tuple[str, ...] = ()
    classes: str | None = None
    lists: str | None = None


@dataclass(frozen=True, kw_only=True)
class HuggingFace:
    """A set of images in the format of the `datasets` library, for `data.dataset: hugging_face`.

    `path` is a folder on disk, absolute or below the data folder: what `save_to_disk` wrote, or files that the library
    reads (Parquet, class folders, a metadata file); `name` is a configuration in it. With `download: true` it is a
    name on the hub, which is asked for nothing else. `image`, `label` and `attributes` are columns; `label` becomes the
    attribute `class`. `train`, `validation` (may be missing) and `test` are names of its splits; without a test split
    (null), a fifth of the training images is held out, the same in every configuration.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    path: str
    name: str | None = None
    image: str = "image"
    label: str = "label"
    train: str = "train"
    validation: str | None = None
    test: str | None = "test"
    attributes: tuple[str, ...] = ()
    download: bool = False


@dataclass(frozen=True, kw_only=True)
class LongTail:
    """Thins the training images out, so that label 0 has the most and the last label the fewest: `imbalance` times
    fewer. `exponential`: in a geometric row; `step`: the first half of the labels keeps all, the other has the fewest.
    Validation and test stay as they are. `train_size` counts before the thinning."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    kind: Literal["exponential", "step"] = "exponential"
    imbalance: Annotated[float, Ge(1)] = 100.0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images, which attribute is the label, and what a method may see.

    `size` resamples the images to size x size. `bias_labels` is the attribute that `reveal: [bias_labels]` shows: by
    default the cue of `bias`, or the cue that the set is known for. What follows changes the training images alone:
    `subclass_shares` is the share that the first, second, ... class of each coarse class keeps; `balance_groups` cuts
    every group of `groups` to the size of the smallest; `label_noise` is the share whose label is another one.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    dataset: str = "digits"
    folder: Folder | None = None
    hugging_face: HuggingFace | None = None
    size: Count | None = None
    labels: str = "class"
    coarse: str | dict[int, int] | None = None
    bias: Bias | None = None
    long_tail: LongTail | None = None
    bias_labels: str | None = None
    reveal: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    train_size: Count | None = None
    validation_size: Count | None = None
    subclass_shares: tuple[Fraction, ...] | None = None
    balance_groups: bool = False
    label_noise: Fraction = 0.0


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each view, drawn per image. An identity value switches a part off.

    local_views: the last so many views are local crops: `local_scale` stands for `scale` there. All views are resampled
    to the same size. weak_views: views, by number from 0, whose contrast and brightness stay as they are.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    flip: Fraction = 0.0
    shift: Fraction = 0.0
    contrast: tuple[NonNegative, NonNegative] = (1.0, 1.0)
    brightness: NonNegative = 0.0
    local_views: Whole = 0
    local_scale: tuple[Positive, Positive] = (0.05, 0.2)
    weak_views: tuple[Whole, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """`width` is the channel count of the first block of `convnet`; `projection` the widths of the head's layers, the
    last of which is the dimension of `features`; an empty tuple means that features are the normalised embeddings.

    Two constraints: `embedding` bounds the capacity, `lipschitz` how far any layer may stretch distances (the largest
    singular value of every convolution and linear map, and the gain of batch normalisation; not of the head).

    norm: `batch` normalises over the images of a batch, `group` each image by itself, in groups of up to 16 channels;
    `vit_small` has layer normalisation and takes no other."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    name: str = "convnet"
    width: Count = 24
    depth: Annotated[int, Ge(3), Le(4)] = 4
    embedding: Count | None = None
    lipschitz: Positive | None = None
    norm: Literal["batch", "group"] = "batch"
    projection: tuple[Count, ...] = (128, 64)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The optimisation of one run. `learning_rate` is the peak of the schedule; it is not scaled by the batch size.

    batch_statistics: what batch normalisation takes mean and variance of when several workers share a batch: the images
    of `all`, so that the number of workers changes nothing, or of each `worker` by itself, which spares the sums over
    workers and is another function. chunk: so many images (each view counts as one) of a worker go through an encoder
    at once, with the exact gradient of the whole batch: less memory, more time (see `raycon.networks.chunked`)."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    epochs: Count = 10
    batch_size: Annotated[int, Ge(2)] = 256
    views: Count = 2
    optimiser: Literal["sgd", "adamw", "lars"] = "adamw"
    learning_rate: Positive = 4.0e-3
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 1.0e-3
    schedule: Literal["cosine", "one_cycle", "constant", "epoch_cosine", "epoch_steps"] = "cosine"
    warmup: Fraction = 0.1
    gradient_clip: Positive | None = None
    precision: Literal["bfloat16", "float32", "float64"] = "float32"
    batch_statistics: Literal["all", "worker"] = "all"
    chunk: Count | None = None
    channels_last: bool = True
    compile: bool = False
    score_every: Whole = 0
    checkpoint_every: Count = 1


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Three of the four seeds; the fourth, the search seed, is `sweep.seed`. Whatever was chosen with these seeds is
    judged on others (`repeat`), so the default lies outside the small numbers that people repeat with."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    split: Whole = 42
    init: Whole = 42
    order: Whole = 42


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run in full: no hole, no reference, every default filled in.

    `objective`, `transforms` and `networks` map a name to its knobs as plain values (see `raycon.objective`);
    `scores` maps a protocol to its knobs.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    encoder: Encoder = field(default_factory=Encoder)
    objective: dict[str, dict[str, Any]]
    transforms: dict[str, dict[str, Any]] = field(default_factory=dict)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    scores: dict[str, dict[str, Any]] = field(default_factory=lambda: {"linear_probe": {}})
    seeds: Seeds = field(default_factory=Seeds)


@dataclass(frozen=True, kw_only=True)
class StopEarly:
    """Successive halving on `epoch`: at rungs `after`, `after * reduction`, ... a run goes on only if its value is in
    the best 1/`reduction` of the earlier runs that reached the rung."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    rule: Literal["asha"] = "asha"
    after: Count = 1
    reduction: Annotated[int, Ge(2)] = 3


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is searched for, how long, and with which seed.

    `lag`: ask n is answered from the results of runs 0 to n-1-lag alone, so a search gives the same runs on 1 slot as
    on lag + 1, in whatever order they finish. Slots beyond lag + 1 stay idle.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    maximize: tuple[str, ...] = ()
    minimize: tuple[str, ...] = ()
    trials: Count = 20
    sampler: Literal["tpe", "random", "nsga2", "qmc"] = "tpe"
    startup: Whole = 8
    lag: Whole = 3
    first: tuple[dict[str, Any], ...] = ()
    stop_early: StopEarly | None = None
    gate: str | None = None
    workers: Count = 1
    retries: Whole = 3
    seed: Whole = 0

    @property
    def objectives(self) -> tuple[str, ...]:
        """The scores that are searched for, maximised ones first."""
        return (*self.maximize, *self.minimize)


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Fresh seeds for the winner and for what it is compared with. `against` maps a name to a configuration of the
    space, given as in `sweep.first`; `score` is by default what the sweep searches by."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    seeds: tuple[Whole, ...] = (0, 1, 2, 3, 4)
    against: dict[str, dict[str, Any]] = field(default_factory=dict)
    score: str | None = None


PlanName = Literal["leave_one_out", "add_one_in", "swap", "pairs", "factorial", "fractional", "shapley"]
Effect = Literal["leave_one_out", "add_one_in", "interaction", "factorial", "shapley", "difference"]


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of the method, on in the full arm. Switching it off drops the entries `drop` (a term, transform, network
    or score by its dotted path) and puts in the values `off`. `swap` names alternatives: values that replace it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    drop: tuple[str, ...] = ()
    off: dict[str, Any] = field(default_factory=dict)
    swap: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A contrast, with its sign and the smallest effect of interest, stated before any run of the study.

    effect: `leave_one_out`, `add_one_in` and `shapley` are of one component; `interaction` of two, with the components
    `given` on and all others off; `factorial` of any number, averaged over all arms of a factorial plan; `difference`
    of two arms by name, the first less the second. margin: in the unit of the score.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    effect: Effect
    of: Annotated[tuple[str, ...], MinLen(1)]
    given: tuple[str, ...] = ()
    sign: Literal["positive", "negative"] = "positive"
    margin: Positive


@dataclass(frozen=True, kw_only=True)
class Retune:
    """A search of `trials` runs for every arm over the holes `space` (dotted path -> hole): one budget for all."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    space: Annotated[dict[str, Any], MinLen(1)]
    trials: Count = 8


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A study of one configuration: `values` of the file's holes (others in the middle), or the `best` of its sweep.

    components: by name; with none, every entry of the sections in `over` is one. plan: which arms there are.
    resolution: the least one of a `fractional` plan. against: further arms by name, as values put into the full
    configuration.
    weights: what happens to the other terms when one is dropped: `keep` them, or `renormalise` to the same total.
    seeds: fresh ones, each of which seeds split, weights and order alike in all arms. score: by default the first
    objective of the sweep. alpha: the family-wise error rate.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    of: Literal["values", "best"] = "values"
    values: dict[str, Any] = field(default_factory=dict)
    components: dict[str, Component] = field(default_factory=dict)
    over: tuple[Literal["objective", "transforms", "networks"], ...] = ("objective", "transforms")
    plan: PlanName = "leave_one_out"
    resolution: Annotated[int, Ge(3), Le(5)] = 4
    against: dict[str, dict[str, Any]] = field(default_factory=dict)
    weights: Literal["keep", "renormalise"] = "keep"
    retune: Retune | None = None
    seeds: tuple[Whole, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9)
    score: str | None = None
    alpha: Annotated[float, Gt(0), Lt(1)] = 0.05
    claims: dict[str, Claim] = field(default_factory=dict)
