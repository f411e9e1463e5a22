"""From what a user names to an encoder that can be judged: a checkpoint or run of raycon, or an encoder by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from raycon.checkpoints import MANIFEST, TENSORS, newest_checkpoint
from raycon.config import Trial
from raycon.datasets import describe
from raycon.errors import InvalidFile, MissingData, RayconError, Refused
from raycon.evaluation import Judged
from raycon.history import LOG_NAME, RunRecord, read_sweep
from raycon.networks.named import SOURCES, Normalisation, named_encoder
from raycon.object_storage import last_part, shown
from raycon.own_code import NO_CODE, OwnCode, activate, kept_code
from raycon.sealed import final_checkpoint, newest_of
from raycon.space import trial_from
from raycon.state import State
from raycon.train_folder import TRIAL_NAME


@dataclass(frozen=True)
class Found:
    """An encoder, on its device. trial: what it was trained by; None for one by name. checkpoint: its folder. sweep,
    key: the sweep's folder and the run, where it is one of a sweep, repetition or study."""

    model: Judged
    name: str
    preprocessing: str
    trial: Trial | None = None
    checkpoint: Path | None = None
    sweep: Path | None = None
    key: str | None = None


def is_named(encoder: str) -> bool:
    """Whether it is `torchvision:NAME` or `timm:NAME`, not a path."""
    return encoder.partition(":")[0] in SOURCES


def named(encoder: str, weights: str, size: int | None, normalisation: Normalisation | None, device: str) -> Found:
    """An encoder by name; see `raycon.networks.named.named_encoder`."""
    model = named_encoder(encoder, weights=weights, size=size, normalisation=normalisation)
    return Found(model.to(device), encoder, model.preprocessing)


def checkpoint_of(path: Path) -> Path:
    """The checkpoint that a path means: itself, the folder of its tensors, the newest sound one of a run's folder, or
    the last one of the best run in a sweep's folder. Weights that a sweep keeps elsewhere are found by its log, and
    fetched where that is object storage.

    Raises MissingData where nothing is there, InvalidFile for something else.
    """
    path = path.resolve()
    if path.name == TENSORS:
        path = path.parent
    if (path / MANIFEST).is_file():
        return path
    if (path / LOG_NAME).is_file():
        return final_checkpoint(_best(path), path)
    if not path.exists():
        run = _logged(path)
        if run is not None and run.checkpoint is not None:
            return newest_of(run)
        raise MissingData(f"{path} does not exist; give a run's folder, a checkpoint, torchvision:NAME or timm:NAME")
    found = newest_checkpoint(path) if path.is_dir() else None
    if found is None:
        raise InvalidFile(
            f"{path} is neither a checkpoint nor the folder of a run with a sound one", field="CHECKPOINT"
        )
    return found


def from_checkpoint(path: Path, described: Trial | None, code: OwnCode = NO_CODE, device: str = "cpu") -> Found:
    """The encoder of a checkpoint of raycon.

    Its configuration is that of its run: the `trial.json` of a training folder, the event log of a sweep; `described`
    serves a checkpoint that lies alone. code: a training folder's own code; a sweep keeps its own.

    Raises InvalidFile where the configuration is not known, Refused for a loop of the user's own, DamagedCheckpoint for
    weights that are damaged or of another configuration.
    """
    checkpoint = checkpoint_of(path)
    run, told = checkpoint.parent.parent, str(checkpoint)
    sweep, key, trial = None, None, described
    if (record := _logged(path.resolve())) is not None:
        sweep, key = _sweep_of(path.resolve()), record.key
        code = kept_code(sweep)
        trial = _trial(record.trial, code)
        told = shown(record.checkpoint or told) if checkpoint.name == last_part(record.checkpoint or "") else told
    elif (run / TRIAL_NAME).is_file():
        plain = json.loads((run / TRIAL_NAME).read_text())
        _check_code(plain.pop("code", []), code, run)
        trial = _trial(plain, code)
    elif run.parent.name == "runs" and (run.parent.parent / LOG_NAME).is_file():
        sweep, key = run.parent.parent, run.name
        code = kept_code(sweep)
        trial = _trial(read_sweep(sweep).run(key).trial, code)
    if trial is None:
        reason = f"{checkpoint} stands alone: nothing says what it is of; name its search space with --data FILE"
        raise InvalidFile(reason, field="CHECKPOINT")
    if code.loop is not None:
        raise Refused("this run is of a loop of your own, whose weights raycon cannot put together")
    activate(code)
    state = State(trial, device)
    state.load(checkpoint)
    return Found(state.step, told, f"{state.step.full}", trial, checkpoint, sweep, key)


def _sweep_of(path: Path) -> Path:
    return path if (path / LOG_NAME).is_file() else path.parent.parent


def _logged(path: Path) -> RunRecord | None:
    """The run that a path means by the log of its sweep: the best one for a sweep's folder, or the one whose folder
    below `runs` it would be; None where no log says."""
    if (path / LOG_NAME).is_file():
        return _best(path)
    if path.parent.name != "runs" or not (path.parent.parent / LOG_NAME).is_file():
        return None
    runs = read_sweep(path.parent.parent).runs
    return next((run for run in runs if run.key == path.name), None)


def _best(sweep: Path) -> RunRecord:
    best = read_sweep(sweep).best()
    if best is None:
        raise MissingData(f"no run of {sweep} is complete")
    return best


def _trial(plain: dict[str, object], code: OwnCode) -> Trial:
    activate(code)
    return trial_from(plain)


def _check_code(hashes: object, code: OwnCode, run: Path) -> None:
    if hashes and sorted(code.hashes) != sorted(hashes if isinstance(hashes, list) else []):
        raise RayconError(f"{run} was trained with code of your own; name the same files with --code")


def check_sizes(found: Found, judged: Trial) -> None:
    """Raises InvalidFile where the data give images of another shape than those that the encoder was trained on."""
    if found.trial is None:
        return
    own, other = describe(found.trial.data), describe(judged.data)
    if (own.channels, own.size) != (other.channels, other.size):
        shapes = [f"{one.channels}x{one.size}x{one.size}" for one in (other, own)]
        hint = f"; --set data.size={own.size} resamples them" if own.channels == other.channels else ""
        raise InvalidFile(f"gives images of {shapes[0]}, the encoder was trained on {shapes[1]}{hint}", field="--data")
