"""The machine in a line, without which numbers of speed and cost mean little; and what of it a run is given."""

from __future__ import annotations

import os
import platform
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from raycon.errors import InvalidFile

CPU_INFO = Path("/proc/cpuinfo")
GPU_INFO = Path("/proc/driver/nvidia/gpus")


def hardware() -> str:
    """Usable CPU cores and their kind, memory, GPUs that the NVIDIA driver names, Python and system of this machine.

    Neither torch nor a subprocess is needed. What cannot be told is left out.
    """
    import psutil

    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable is not None else os.cpu_count() or 1
    memory = psutil.virtual_memory().total / 2**30
    gpus = [f"{count} x {name}" for name, count in Counter(_gpus()).items()] or ["no NVIDIA GPU"]
    software = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return "; ".join([f"{cores} x {_cpu()}", f"{memory:.0f} GiB", *gpus, software])


def training_device(resources: Mapping[str, float] | None) -> str:
    """The GPU if there is one and it is not declined. Raises InvalidFile where one is asked for and none is there."""
    import torch

    asked = None if resources is None else resources.get("gpu", 0)
    if asked and not torch.cuda.is_available():
        raise InvalidFile(f"0 GPU here, asked {asked:g}", field="resources")
    return "cpu" if asked == 0 or not torch.cuda.is_available() else "cuda:0"


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """The models of the GPUs, as the driver's files have them."""
    found = []
    for path in sorted(GPU_INFO.glob("*/information")):
        try:
            model = re.search(r"^Model:\s*(.+)$", path.read_text(), re.MULTILINE)
        except OSError:
            continue
        found += [model[1].strip()] if model else []
    return found
