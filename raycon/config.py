"""What a trial, a sweep and a repetition are: frozen dataclasses, with every default in one place.

These classes import nothing heavy. Bounds stand in the types; they are checked where a file is read (`raycon.space`),
so code that builds a `Trial` by hand goes through `raycon.space.trial_from`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le

from raycon.knobs import Count, Fraction, NonNegative, Positive, Whole

STRICT: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class Bias:
    """Binds a colour to the label. `rate` is the share of training images whose colour is their label's own;
    validation and test colours are drawn uniformly, so that their accuracy is the unbiased one."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    rate: Fraction = 0.95
    place: Literal["background", "foreground"] = "background"
    noise: NonNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which images, which attribute is the label, and what a method may see."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    dataset: str = "digits"
    labels: str = "class"
    coarse: str | dict[int, int] | None = None
    bias: Bias | None = None
    reveal: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    train_size: Count | None = None
    validation_size: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of each view, drawn per image. An identity value switches a part off."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    flip: Fraction = 0.0
    shift: Fraction = 0.0
    contrast: tuple[NonNegative, NonNegative] = (1.0, 1.0)
    brightness: NonNegative = 0.0


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """`width` is the channel count of the first block of `convnet`; `projection` the widths of the head's layers, the
    last of which is the dimension of `features`; an empty tuple means that features are the normalised embeddings."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    name: str = "convnet"
    width: Count = 24
    depth: Annotated[int, Ge(3), Le(4)] = 4
    embedding: Count | None = None
    projection: tuple[Count, ...] = (128, 64)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The optimisation of one run. `learning_rate` is the peak of the schedule; it is not scaled by the batch size."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    epochs: Count = 10
    batch_size: Annotated[int, Ge(2)] = 256
    views: Count = 2
    optimiser: Literal["sgd", "adamw", "lars"] = "adamw"
    learning_rate: Positive = 4.0e-3
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 1.0e-3
    schedule: Literal["cosine", "one_cycle", "constant"] = "cosine"
    warmup: Fraction = 0.1
    gradient_clip: Positive | None = None
    precision: Literal["bfloat16", "float32", "float64"] = "float32"
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


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """Fresh seeds for the winner and for what it is compared with. `against` maps a name to a configuration of the
    space, given as in `sweep.first`; `score` is by default what the sweep searches by."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT
    seeds: tuple[Whole, ...] = (0, 1, 2, 3, 4)
    against: dict[str, dict[str, Any]] = field(default_factory=dict)
    score: str | None = None
