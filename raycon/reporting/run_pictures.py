"""The pictures of one finalist: its embeddings, the confusions of a linear probe, and the accuracies of the groups."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from raycon.reporting.confusion_picture import confusion, confusion_picture
from raycon.reporting.embedding_picture import Colouring, embedding_picture
from raycon.reporting.encoded_finalist import EncodedFinalist
from raycon.reporting.group_bars import group_bars, group_picture
from raycon.reporting.projection import Method, project, sample_rows

FEW_GROUPS = 8
"""Up to so many groups each has a colour of its own."""


def run_pictures(name: str, found: EncodedFinalist, embedding: str) -> dict[str, tuple[str, bytes]]:
    """Name of the file, without its ending -> what it shows, and PNG. embedding: `pca`, `tsne` or `umap`."""
    name = f"{name}: {' + '.join(str(knobs.get('term', key)) for key, knobs in found.trial.objective.items())}"
    return {
        "embedding": _embedding(name, found, cast(Method, embedding)),
        "confusion": _confusion(name, found),
        "groups": _groups(name, found),
    }


def _embedding(name: str, found: EncodedFinalist, method: Method) -> tuple[str, bytes]:
    rows = sample_rows(_strata(found))
    # Components are those of all images; what t-SNE and UMAP can look at is the sample.
    values = found.judged.embeddings.numpy()
    if method == "pca":
        projection = project(values, method)
        projection = type(projection)(projection.places[rows], projection.method, projection.shares)
    else:
        projection = project(values[rows], method)
    shown = f" ({len(rows):,} shown, rare classes and groups favoured)" if len(rows) < len(values) else ""
    told = f"embeddings; {_where(found)}{shown}"
    colourings = [Colouring(one.title, one.values[rows], one.names) for one in colourings_of(found)]
    return "Embeddings", embedding_picture(f"{name}\n{told}", projection, colourings)


def colourings_of(found: EncodedFinalist) -> list[Colouring]:
    """By fine label, coarse label and group, as far as they exist and differ.

    Of more than eight groups, what they add to these labels is shown: of `class` and `aligned`, which images are
    aligned.
    """
    data = found.trial.data

    def trained(attribute: str) -> str:
        return ", trained on" if attribute == data.labels else ""

    colourings = [Colouring(f"fine label (class{trained('class')})", found.values("class"), found.names("class"))]
    shown = {"class"}
    for attribute in ("coarse", data.labels):
        if attribute in found.judged.attributes and attribute not in shown:
            title = f"coarse label ({attribute}{trained(attribute)})"
            colourings.append(Colouring(title, found.values(attribute), found.names(attribute)))
            shown.add(attribute)
    groups = found.judged.groups
    if groups is not None and found.judged.group_count <= FEW_GROUPS and not set(data.groups) <= shown:
        title = f"group ({' x '.join(data.groups)})"
        return [*colourings, Colouring(title, np.asarray(groups), found.group_names)]
    cue = ("aligned",) if "aligned" in found.judged.attributes else ()
    for attribute in data.groups or cue:
        if attribute not in shown:
            of = f", of {' x '.join(data.groups)}" if len(data.groups) > 1 else ""
            title = f"group ({attribute}{of})"
            return [*colourings, Colouring(title, found.values(attribute), found.names(attribute))]
    return colourings


def _strata(found: EncodedFinalist) -> NDArray[Any]:
    """Fine class and group together."""
    groups = found.judged.groups
    classes = found.values("class")
    return classes if groups is None else classes * (int(found.judged.group_count) + 1) + np.asarray(groups)


def _confusion(name: str, found: EncodedFinalist) -> tuple[str, bytes]:
    confusions = []
    for attribute, predicted in found.predicted.items():
        kind = "label trained on" if attribute == found.trial.data.labels else "fine label"
        coarse_of = _coarse_of(found) if attribute == "class" and "coarse" in found.judged.attributes else None
        title = f"{kind} ({attribute})"
        confusions.append(confusion(title, found.values(attribute), predicted, found.names(attribute), coarse_of))
    told = f"linear probe, per cent of each row\n{_where(found)}"
    return "Confusions of a linear probe", confusion_picture(f"{name}\n{told}", confusions)


def _coarse_of(found: EncodedFinalist) -> NDArray[np.int64]:
    """The coarse class of every fine one; of those without an image, the last."""
    classes, coarse = found.values("class"), found.values("coarse")
    table = np.full(found.judged.sizes["class"], found.judged.sizes["coarse"], dtype=np.int64)
    table[classes] = coarse
    return table


def _groups(name: str, found: EncodedFinalist) -> tuple[str, bytes]:
    data, groups = found.trial.data, found.judged.groups
    if groups is not None:
        right = found.predicted[data.labels] == found.values(data.labels)
        told = f"linear probe on {data.labels}, by group ({' x '.join(data.groups)})"
        bars = group_bars(right, np.asarray(groups), found.group_names)
    else:
        right = found.predicted["class"] == found.values("class")
        told = "linear probe on class, by class (no groups are configured)"
        bars = group_bars(right, found.values("class"), found.names("class"))
    return "Accuracy by group", group_picture(f"{name}\n{told}\n{_where(found)}", bars)


def _where(found: EncodedFinalist) -> str:
    """Data, split, n and seeds."""
    trial, count = found.trial, len(found.judged)
    seeds = {trial.seeds.split, trial.seeds.init, trial.seeds.order}
    told = f"seed {trial.seeds.split}" if len(seeds) == 1 else "seeds " + "/".join(map(str, sorted(seeds)))
    return f"{trial.data.dataset}, {found.split} split, n = {count:,}, {told}"
