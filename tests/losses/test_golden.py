"""Parity with the stored vectors of RAYCON_GOLDEN, and the command that checks a whole folder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from raycon.losses import supcon
from tests.golden.__main__ import main
from tests.golden.adapters import ADAPTERS
from tests.golden.check import check_families, check_family
from tests.golden.vectors import Vector, read_vectors
from tests.losses.catalogue import inputs

# What this suite runs. Families of other losses join with the losses.
FAMILIES = (
    "supcon_out",
    "supcon_out_mask",
    "supcon_google",
    "simclr",
    "l_spread_clean",
    "thanos_code",
    "eps_supinfonce_out",
    "eps_supinfonce_nofloor",
    "eps_supinfonce_in",
    "eps_supcon_out",
    "eps_infonce",
    "fairkl_code",
    "fairkl_paper",
    "coarse_maps",
    "biased_split",
    "lr_supcon",
    "sce",
    "scekeys",
    "scequeue",
    "renyi",
    "renyi_ovf",
    "renyi_dist",
    "spcl_ntxent",
    "spcl_metric",
    "spcl_total",
    "dcl_debiased",
    "dcl_multi_positive",
    "decoupled",
    "decoupledw",
    "nneg",
    "nnegpop",
    "nnegopt",
    "unicon",
    "uniconappend",
    "universum",
    "selecgsc",
    "selecgce",
    "selecpair",
    "selecgt",
    "cdvg",
    "bcl",
    "esupcon",
    "spce",
    "logitadjust",
    "cosfc",
    "shotacc",
    "ltcounts",
    "gdro",
)


@pytest.fixture(scope="module")
def stored() -> dict[str, list[Vector]]:
    if "RAYCON_GOLDEN" not in os.environ:
        pytest.skip("RAYCON_GOLDEN, the folder of golden vectors, is unset; they stand outside this repository")
    return read_vectors(Path(os.environ["RAYCON_GOLDEN"]))


def test_every_adapter_is_run() -> None:
    assert set(FAMILIES) == set(ADAPTERS)


@pytest.mark.parametrize("family", FAMILIES)
def test_family(stored: dict[str, list[Vector]], family: str) -> None:
    (result,) = check_families(stored, [family])
    assert result.passed > 0 and not result.failed, result.line()


@pytest.mark.parametrize("family", FAMILIES)
def test_family_in_single_precision(stored: dict[str, list[Vector]], family: str) -> None:
    result = check_family(family, stored[family], single=True)
    assert result.passed > 0 and not result.failed, result.line()


def _store(folder: Path, name: str, *, error: float = 0.0) -> None:
    """A vector that the package itself computed, with `error` added to the loss."""
    case = inputs("supcon")
    features = case["features"].requires_grad_()
    loss = supcon(features, case["labels"], base_temperature=0.07)
    loss.backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    np.savez(
        folder / f"{name}.npz",
        features=features.detach().numpy(),
        labels=case["labels"].numpy(),
        temperature=0.1,
        base_temperature=0.07,
        contrast_mode_all=1,
        loss=loss.item() + error,
        grad=features.grad.numpy(),
    )


def _last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.strip().splitlines()[-1]


def test_command_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(tmp_path, "supcon_out_0")
    _store(tmp_path, "supcon_out_11")
    assert main([str(tmp_path)]) == 0
    assert _last_line(capsys) == "2 passed, 0 failed"


def test_command_fails_for_a_wrong_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(tmp_path, "supcon_out_0")
    _store(tmp_path, "supcon_out_1", error=1e-7)
    assert main([str(tmp_path)]) == 1
    assert _last_line(capsys) == "1 passed, 1 failed"


def test_command_fails_for_a_family_without_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _store(tmp_path, "supcon_out_0")
    _store(tmp_path, "unheard_of_0")
    assert main([str(tmp_path)]) == 1
    assert _last_line(capsys) == "1 passed, 1 failed"
    assert main([str(tmp_path), "--only", "supcon_out"]) == 0


def test_command_refuses_a_folder_or_family_without_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert main([str(tmp_path / "absent")]) == 2
    _store(tmp_path, "supcon_out_0")
    assert main([str(tmp_path), "--only", "supcon"]) == 2
    assert "no vectors" in capsys.readouterr().err
