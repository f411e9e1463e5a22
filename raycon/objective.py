"""From names to a plan: which transforms, networks and terms a trial runs, in which order, on which tensors.

A function's positional parameters are names of the vocabulary. The data offer some (`views`, `labels`, and what
`reveal` shows); transforms and networks offer more; the encoder turns every `X_views` that is asked for into
`X_embeddings` and `X_features`. What nothing offers is refused by name before any training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from raycon.config import Trial
from raycon.datasets import REVEALABLE, Described, check_augmentation, describe
from raycon.errors import InvalidFile, nearest
from raycon.losses import TERMS
from raycon.networks import NETWORKS
from raycon.networks.auxiliary import Auxiliary
from raycon.networks.encoders import ENCODERS
from raycon.scores import PROTOCOLS, validate_scores
from raycon.signatures import check_knobs, read_signature
from raycon.transforms import PROVIDES, TRANSFORMS
from raycon.vocabulary import DRAWS, VOCABULARY
from raycon.whole_batch import is_whole_batch

RESERVED = ("term", "weight", "inputs", "views", "use", "when")
Section = Literal["objective", "transforms", "networks", "scores"]


@dataclass(frozen=True)
class Part:
    """One thing that a step runs.

    `inputs` maps its parameters to names of tensors; `provides`, empty for a term, are the names of its results in the
    function's own order. `views` are those that a term looks at; None: all. `marked`: see `raycon.whole_batch`.
    """

    kind: Literal["transform", "network", "encoder", "term"]
    key: str
    function: str
    inputs: Mapping[str, str]
    provides: tuple[str, ...] = ()
    knobs: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    views: tuple[int, ...] | None = None
    marked: bool = False

    @property
    def pairwise(self) -> bool:
        """Whether it compares images with one another, so that its inputs are gathered over workers. What the function
        asks for decides, whatever tensor it is given instead, or its mark (`raycon.whole_batch`)."""
        if self.marked or self.kind != "term":
            return self.marked
        return any(VOCABULARY[name].kind == "pairwise" for name in (*self.inputs, *self.inputs.values()))


@dataclass(frozen=True)
class Plan:
    """What the data offer, the providers in the order in which they run, and the terms."""

    offered: tuple[str, ...]
    providers: tuple[Part, ...]
    terms: tuple[Part, ...]

    @property
    def gathered(self) -> tuple[str, ...]:
        """The names that are gathered over workers, once a step each."""
        names = (name for term in self.terms if term.pairwise for name in term.inputs.values())
        return tuple(dict.fromkeys(name for name in names if VOCABULARY[name].kind != "shared"))

    @property
    def drawing(self) -> tuple[str, ...]:
        """The keys of the parts that ask for random numbers; each has its own."""
        return tuple(part.key for part in (*self.providers, *self.terms) if "draws" in part.inputs)

    @property
    def measures(self) -> tuple[str, ...]:
        """Numbers for each image that are only logged."""
        names = (name for part in self.providers for name in part.provides)
        return tuple(name for name in names if VOCABULARY[name].kind == "measure")


def functions_of(section: Section) -> Mapping[str, Callable[..., Any]]:
    """The catalogue of a section of the file."""
    sections: dict[str, Mapping[str, Callable[..., Any]]] = {
        "objective": TERMS,
        "transforms": TRANSFORMS,
        "networks": NETWORKS,
        "scores": PROTOCOLS,
    }
    return sections[section]


def find_function(section: Section, name: str) -> Callable[..., Any]:
    """The entry of a catalogue. Raises InvalidFile with the nearest known name."""
    known = functions_of(section)
    if name not in known:
        word = {"objective": "term", "transforms": "transform", "networks": "network", "scores": "protocol"}[section]
        own = "" if section == "scores" else "; one of your own comes with --code"
        listed = ", ".join(known) or "none"
        raise InvalidFile(f"unknown {word} {name!r}{nearest(name, set(known))}{own}; known: {listed}")
    return known[name]


def complete_term(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `objective` without holes, checked and with every default filled in."""
    function_name = entry.get("term", name)
    if not isinstance(function_name, str):
        raise InvalidFile(f"should be the name of a term, not {function_name!r}", field="term")
    function = find_function("objective", function_name)
    weight = entry.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise InvalidFile(f"should be a number from 0 on, not {weight!r}", field="weight")
    filled: dict[str, Any] = {"term": function_name, "weight": float(weight)}
    if "inputs" in entry:
        filled["inputs"] = _check_inputs(function, entry["inputs"])
    if "views" in entry:
        filled["views"] = _check_views(function, entry["views"])
    knobs = {knob: value for knob, value in entry.items() if knob not in RESERVED}
    return filled | check_knobs(function, knobs)


def _check_inputs(function: Callable[..., Any], inputs: Any) -> dict[str, str]:
    names = read_signature(function).names
    if not isinstance(inputs, Mapping):
        raise InvalidFile(f"should map parameters to tensors, not {inputs!r}", field="inputs")
    for parameter, tensor in inputs.items():
        if parameter not in names:
            raise InvalidFile(f"takes no {parameter!r}; it takes: {', '.join(names)}", field="inputs")
        if tensor not in VOCABULARY:
            raise InvalidFile(f"no tensor is called {tensor!r}{nearest(str(tensor), set(VOCABULARY))}", field="inputs")
        if not _fits(tensor, parameter):
            wanted, given = (f"[{', '.join(VOCABULARY[name].shape)}]" for name in (parameter, tensor))
            raise InvalidFile(f"{tensor} is {given} and cannot stand for {parameter} {wanted}", field="inputs")
    return dict(inputs)


def _check_views(function: Callable[..., Any], views: Any) -> list[int]:
    if not any("V" in VOCABULARY[name].shape for name in read_signature(function).names):
        raise InvalidFile("it looks at no tensor that has views", field="views")
    numbers = list(views) if isinstance(views, list | tuple) else []
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers):
        raise InvalidFile(f"should list views by number, from 0 on, not {views!r}", field="views")
    if len(set(numbers)) < len(numbers):
        raise InvalidFile(f"a view stands there twice: {views!r}", field="views")
    return numbers


def complete_network(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `networks` without holes, checked and filled."""
    return check_knobs(find_function("networks", name), _without_reserved(entry))


def complete_transform(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `transforms` without holes, checked and filled."""
    return check_knobs(find_function("transforms", name), _without_reserved(entry))


def complete_score(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `scores` without holes, checked and filled."""
    return check_knobs(find_function("scores", name), entry)


def _fits(tensor: str, parameter: str) -> bool:
    """Whether a tensor can take another's place: both labels or both not, both shared or both not, of the same shape; E
    and D are widths."""
    there, wanted = VOCABULARY[tensor], VOCABULARY[parameter]
    shapes = [tuple("D" if letter == "E" else letter for letter in entry.shape) for entry in (there, wanted)]
    return shapes[0] == shapes[1] and all((there.kind == kind) == (wanted.kind == kind) for kind in ("label", "shared"))


def _without_reserved(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("use", "when")}


def _term(key: str, entry: Mapping[str, Any]) -> Part:
    function = find_function("objective", entry["term"])
    renamed = entry.get("inputs", {})
    inputs = {name: renamed.get(name, name) for name in read_signature(function).names}
    knobs = {knob: value for knob, value in entry.items() if knob not in RESERVED}
    views = tuple(entry["views"]) if "views" in entry else None
    marked = is_whole_batch(function)
    return Part("term", key, entry["term"], inputs, knobs=knobs, weight=entry["weight"], views=views, marked=marked)


def _providers(trial: Trial) -> dict[str, Part]:
    """Everything that could run, by the name of each tensor that it provides.

    Where several networks provide a name, the configured one does, else the first of the catalogue.
    """
    parts: list[Part] = []
    for prefix in (name.removesuffix("views") for name in VOCABULARY if name.endswith("views")):
        provides = (f"{prefix}embeddings", f"{prefix}features")
        parts.append(Part("encoder", trial.encoder.name, trial.encoder.name, {"images": f"{prefix}views"}, provides))
    for name, knobs in trial.transforms.items():
        function = TRANSFORMS[name]
        inputs = {n: n for n in read_signature(function).names}
        parts.append(Part("transform", name, name, inputs, PROVIDES[name], knobs, marked=is_whole_batch(function)))
    found = {name: part for part in parts for name in part.provides}
    configured = [name for name in NETWORKS if name in trial.networks]
    for name in (*configured, *(name for name in NETWORKS if name not in configured)):
        for part in _network_parts(name, trial):
            for provided in part.provides:
                if name in configured and (rival := found.get(provided)) and rival.kind == "network":
                    raise InvalidFile(f"{rival.function} provides {provided!r} as well", field=f"networks.{name}")
                found.setdefault(provided, part)
    return found


def _network_parts(name: str, trial: Trial) -> list[Part]:
    """A network as it stands, and again for each `X_embeddings` from which it can make `X_` of all that it provides.

    The same weights serve all views that the same encoder saw; a second encoder (`twin_`) has a copy of its own.
    """
    network = NETWORKS[name]
    knobs = trial.networks.get(name) or check_knobs(network, {})
    names = read_signature(_forward(network)).names
    parts = [Part("network", name, name, {n: n for n in names}, network.provides, knobs)]
    if "embeddings" not in names:
        return parts
    for prefix in (found.removesuffix("embeddings") for found in VOCABULARY if found.endswith("_embeddings")):
        provides = tuple(f"{prefix}{provided}" for provided in network.provides)
        if all(provided in VOCABULARY for provided in provides):
            inputs = {n: f"{prefix}{n}" if n == "embeddings" else n for n in names}
            key = name if f"{prefix}views" in VOCABULARY else f"{prefix}{name}"
            parts.append(Part("network", key, name, inputs, provides, knobs))
    return parts


def _forward(network: type[Auxiliary]) -> Callable[..., Any]:
    function: Callable[..., Any] = network.forward
    return function


def resolve(trial: Trial, described: Described) -> Plan:
    """The plan of a trial.

    Raises InvalidFile, with the path of the term as its field, if a name is asked for that nothing offers, if providers
    need one another in a circle, if two configured networks provide the same name, or if a transform or network is
    configured that nothing asks for.
    """
    plan = order_parts(trial, described)
    for section, name in idle_parts(trial, plan):
        raise InvalidFile("no term asks for what it provides", field=f"{section}.{name}")
    return plan


def order_parts(trial: Trial, described: Described) -> Plan:
    """As `resolve`, but that configured parts may be idle."""
    if not trial.objective:
        raise InvalidFile("an objective needs at least one term", field="objective")
    offered = ("views", "labels", "indices", "draws", *described.revealed)
    providers = _providers(trial)
    terms = tuple(_term(key, entry) for key, entry in trial.objective.items())
    ordered: list[Part] = []
    for term in terms:
        for name in term.inputs.values():
            _visit(name, term, offered, providers, ordered, pending=())
    return Plan(offered, tuple(ordered), terms)


def idle_parts(trial: Trial, plan: Plan) -> list[tuple[str, str]]:
    """The transforms and networks, as (section, name), that are configured and that nothing asks for."""
    used = {part.function for part in plan.providers}
    return [(part, name) for part in ("transforms", "networks") for name in getattr(trial, part) if name not in used]


def _visit(
    name: str,
    asker: Part,
    offered: Iterable[str],
    providers: Mapping[str, Part],
    ordered: list[Part],
    pending: tuple[str, ...],
) -> None:
    """Puts what provides `name`, and before it all that it needs, at the end of `ordered`."""
    if name in offered:
        return
    if name not in providers:
        hint = f" (set data.reveal: [{name}])" if name in REVEALABLE else ""
        also = "any of the networks and transforms that are configured"
        field_name = f"objective.{asker.key}" if asker.kind == "term" else f"{asker.kind}s.{asker.key}"
        raise InvalidFile(
            f"{asker.function} needs {name!r}, which neither the data ({', '.join(offered)}) nor {also} offers{hint}",
            field=field_name,
        )
    part = providers[name]
    if part in ordered:
        return
    if part.key in pending:
        raise InvalidFile(f"needs itself through {' <- '.join([*pending, part.key])}", field=f"{part.kind}s.{part.key}")
    for needed in part.inputs.values():
        _visit(needed, part, offered, providers, ordered, (*pending, part.key))
    ordered.append(part)


def check_trial(trial: Trial) -> Plan:
    """Refuses a trial that cannot run, without reading any data, and returns its plan.

    Raises InvalidFile with the dotted path of what is wrong.
    """
    described = describe(trial.data)
    check_augmentation(trial.augmentation, trial.training.views)
    if trial.encoder.name not in ENCODERS:
        known = ", ".join(ENCODERS)
        raise InvalidFile(
            f"unknown encoder {trial.encoder.name!r}{nearest(trial.encoder.name, ENCODERS)}; known: {known}",
            field="encoder.name",
        )
    plan = resolve(trial, described)
    for term in plan.terms:
        _try_term(term, trial)
    if not _reaches_encoder(plan):
        raise InvalidFile("no term reaches the encoder, which would stay as it was drawn", field="objective")
    validate_scores(trial, described)
    if trial.training.compile and trial.training.chunk is not None:
        raise InvalidFile("an encoder that is compiled takes its images whole", field="training.chunk")
    size = trial.data.train_size
    if size is not None and trial.training.batch_size > size:
        raise InvalidFile(
            f"{trial.training.batch_size} is more than the {size} training images", field="training.batch_size"
        )
    return plan


def _reaches_encoder(plan: Plan) -> bool:
    """Whether the gradient of at least one term, whatever its weight, comes to the encoder."""
    carriers: set[str] = set()
    for part in plan.providers:
        through = part.kind == "encoder" or any(name in carriers for name in part.inputs.values())
        if through and not (part.kind == "network" and NETWORKS[part.function].stops_gradient(part.knobs)):
            carriers |= set(part.provides)
    return any(name in carriers for term in plan.terms for name in term.inputs.values())


def _try_term(term: Part, trial: Trial) -> None:
    """Calls a term once on four tiny images, so that what it cannot do (one view, say) is known before training."""
    if term.views is not None and max(term.views) >= trial.training.views:
        reason = f"views count from 0, and training.views is {trial.training.views}"
        raise InvalidFile(reason, field=f"objective.{term.key}.views")
    tensors = tiny_tensors(views=trial.training.views)
    inputs = [select_views(name, tensors[name], term.views) for name in term.inputs.values()]
    try:
        value = TERMS[term.function](*inputs, **term.knobs)
        if not isinstance(value, Tensor) or value.shape != ():
            raise ValueError("it does not return a single number (a tensor of shape [])")
    except (ValueError, RuntimeError, IndexError) as error:
        place = f"with training.views = {trial.training.views}"
        reason = f"{term.function} cannot run here, {place}: {error}"
        raise InvalidFile(reason, field=f"objective.{term.key}") from None


def select_views(name: str, values: Tensor, views: tuple[int, ...] | None) -> Tensor:
    """`values` of the tensor `name`, with those `views` alone where it has an axis of views; None: all of them."""
    return values if views is None or "V" not in VOCABULARY[name].shape else values[:, list(views)]


def tiny_tensors(*, views: int = 2, images: int = 4) -> dict[str, Tensor]:
    """A small random value for every name of the vocabulary: two classes, two bias labels, unit features."""
    generator = torch.Generator().manual_seed(0)
    sizes = {"N": images, "V": views, "C": 1, "H": 4, "W": 4, "E": 6, "D": 5, "K": 2}
    sizes |= {"Q": 8, "P": 3, "G": 2, "S": 6, "R": DRAWS}
    tensors: dict[str, Tensor] = {}
    for name, entry in VOCABULARY.items():
        shape = [sizes[letter] for letter in entry.shape]
        if entry.kind == "label":
            half = images // 2 if name in ("labels", "assignments") else 1
            tensors[name] = torch.arange(images).div(half, rounding_mode="floor") % (images if name == "indices" else 2)
            continue
        values = torch.randn(shape, generator=generator)
        if name in ("class_frequencies", "group_weights"):
            values = values.softmax(0)
        elif name in ("draws", "mixed_share", "sample_weights"):
            values = torch.rand(shape, generator=generator)
        tensors[name] = torch.nn.functional.normalize(values, dim=-1) if entry.unit else values
    return tensors


def explain(trial: Trial) -> list[str]:
    """The resolved plan of a trial in plain lines. Reads no data."""
    plan, described = check_trial(trial), describe(trial.data)
    attribute = f"labels = {trial.data.labels} ({described.attributes[trial.data.labels]} values)"
    offered = ", ".join(plan.offered)
    image = f"{described.channels}x{described.size}x{described.size}"
    lines = [f"data     {trial.data.dataset}: {trial.training.views} views of {image}, {attribute}; offers {offered}"]
    for part in plan.providers:
        lines.append(f"{part.kind:<8} {_call(part)} -> {', '.join(part.provides)}{_knobs(part)}")
    for term in plan.terms:
        place = "over all workers" if term.pairwise else "per worker"
        place += f"; views {', '.join(map(str, term.views))}" if term.views else ""
        shown = f"{term.weight:g} x {_call(term)}"
        lines.append(f"term     {term.key}: {shown}{_knobs(term)}; {place}")
    lines.append(f"batch    {_batch(trial)}")
    lines.append(f"scores   {', '.join(trial.scores)} on the frozen encoder")
    return lines


def _batch(trial: Trial) -> str:
    training = trial.training
    over = "over all workers" if training.batch_statistics == "all" else "per worker"
    pace = "all images go through an encoder at once" if training.chunk is None else f"{training.chunk} images at once"
    return f"{training.batch_size} images a step; batch statistics {over}; {pace}"


def _call(part: Part) -> str:
    return f"{part.function}({', '.join(part.inputs.values())})"


def _knobs(part: Part) -> str:
    shown = ", ".join(f"{knob}={value}" for knob, value in part.knobs.items())
    return f"  [{shown}]" if shown else ""
