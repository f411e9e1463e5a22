"""The cluster files are what Ray and KubeRay take, and hold what their comments and docs/cluster.md promise."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RAY_FILES = ("cluster.yaml", "cluster.local.yaml")


def read(name: str) -> dict[str, Any]:
    """A cluster file as Ray reads it."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


def commands(config: dict[str, Any]) -> list[str]:
    """All that is run on any node."""
    return [line for name, lines in config.items() if name.endswith("_commands") for line in lines]


@pytest.mark.parametrize("name", RAY_FILES)
def test_ray_accepts_the_file(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(read(name)))


def test_ray_refuses_a_file_with_a_slip() -> None:
    """What the test above would say of a misspelt field."""
    from jsonschema import ValidationError  # type: ignore[import-untyped]
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read("cluster.yaml")
    config["idle_timeout"] = config.pop("idle_timeout_minutes")
    with pytest.raises(ValidationError, match="idle_timeout"):
        validate_config(prepare_config(config))


def test_workers_of_own_machines_are_all_started() -> None:
    from ray.autoscaler._private.util import prepare_config

    config = prepare_config(read("cluster.local.yaml"))
    only = config["available_node_types"]["local.cluster.node"]
    assert only["min_workers"] == only["max_workers"] == len(config["provider"]["worker_ips"]) == 2


@pytest.mark.parametrize("name", RAY_FILES)
def test_the_token_is_on_every_node_and_private(name: str) -> None:
    config = read(name)
    assert "~/.ray/auth_token" in config["file_mounts"].values()
    told = "\n".join(config["setup_commands"])
    assert "RAY_AUTH_MODE=token" in told
    assert re.search(r"(chmod|install -m) 600 .*~/.ray/auth_token", told)


@pytest.mark.parametrize("name", RAY_FILES)
def test_own_settings_are_read_after_the_shipped_ones(name: str, tmp_path: Path) -> None:
    """Also where `ray up` writes the shipped ones anew, and where there are none."""
    setup = [line for line in read(name)["setup_commands"] if "raycon.sh" in line]
    told = 'eval "$SETUP"; eval "$SETUP"; . ~/.bashrc; echo "$RAYCON_STORAGE ${MLFLOW_TRACKING_URI:-}"'
    settings = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "SETUP": "; ".join(setup)}
    shell = ["bash", "-euc", told]
    before = subprocess.run(shell, env=settings, capture_output=True, text=True, check=True).stdout.split()
    assert len(before) == 1 and before[0].startswith("/")
    (own := tmp_path / ".raycon.own").mkdir()
    (own / "settings.sh").write_text("export MLFLOW_TRACKING_URI=http://x RAYCON_STORAGE=s3://y\n")
    after = subprocess.run(shell, env=settings, capture_output=True, text=True, check=True).stdout.split()
    assert after == ["s3://y", "http://x"]


@pytest.mark.parametrize("name", RAY_FILES)
def test_nothing_but_ssh_is_reached_from_outside(name: str) -> None:
    config = read(name)
    starts = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    assert all("--dashboard-host=127.0.0.1" in line for line in starts) and starts
    assert "0.0.0.0" not in (ROOT / name).read_text()


def test_no_node_in_the_cloud_has_a_public_address() -> None:
    config = read("cluster.yaml")
    assert config["provider"]["use_internal_ips"] is True
    for node in config["available_node_types"].values():
        # Without groups of its own Ray makes one in which port 22 is open to the world.
        assert node["node_config"]["SecurityGroupIds"]
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"


def test_the_head_trains_nothing_and_gpus_come_when_asked() -> None:
    types = read("cluster.yaml")["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    gpu = types["gpu"]
    assert gpu["min_workers"] == 0 < gpu["max_workers"] and gpu["resources"]["GPU"] == 1
    assert gpu["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


@pytest.mark.parametrize("name", RAY_FILES)
def test_what_is_mounted_exists_and_is_the_whole_package(name: str) -> None:
    """All that the build reads goes along, and nothing that a checkout may hold besides."""
    mounts: dict[str, str] = read(name)["file_mounts"]
    package = {there: here for there, here in mounts.items() if there.startswith("~/raycon/")}
    for there, here in package.items():
        assert (ROOT / here).exists() and there == f"~/raycon/{here}"
    assert set(package.values()) == {"raycon", "search_spaces", "pyproject.toml", "README.md", "LICENSE"}
    assert "." not in mounts.values()


@pytest.mark.parametrize("name", RAY_FILES)
def test_what_people_edit_is_mounted_as_a_folder(name: str) -> None:
    """Docker holds on to a file that is mounted by itself, while rsync puts another one in its place."""
    text = (ROOT / name).read_text()
    own = dict(re.findall(r"^  # (~/\S+): (~/\S+)$", text, flags=re.MULTILINE))
    (folder,) = own
    assert own[folder] == folder and f". {folder}/" in "\n".join(read(name)["setup_commands"])
    mounts: dict[str, str] = read(name)["file_mounts"]
    alone = {here for here in mounts.values() if here.startswith("~") or (ROOT / here).is_file()}
    assert alone == {"~/.ray/auth_token", "pyproject.toml", "README.md", "LICENSE"}, "docs/cluster.md, The container"


def test_the_log_of_the_head_outlives_its_container() -> None:
    """Ray runs `docker run --rm`, and does so again after a new mount or a reboot."""
    from ray.autoscaler._private import docker as ray_docker

    config = read("cluster.yaml")
    docker, home = config["docker"], "/home/ray"
    options = docker["run_options"] + docker["head_run_options"]
    mounts = dict.fromkeys(config["file_mounts"], "")
    start: Callable[..., str] = ray_docker.docker_start_cmds
    told = start("ubuntu", docker["head_image"], mounts, "raycon", options, "raycon", home, "docker").split()
    assert "--rm" in told
    pairs = [told[at + 1].split(":") for at, word in enumerate(told) if word == "-v"]
    kept = {inside: outside for outside, inside in pairs}
    out = re.findall(r"RAYCON_OUT=(\S+)", "\n".join(config["setup_commands"]))
    (folder,) = (kept[path.replace("~", home)] for path in out)
    # Made before the container starts: Docker would make it root's. 1000:100 is `ray` in Ray's images.
    assert f"sudo install -d -o 1000 -g 100 {folder}" in config["initialization_commands"]
    assert not folder.startswith("/tmp")


def test_files_may_be_brought_beside_the_mounted_ones(tmp_path: Path) -> None:
    """`ray rsync-up cluster.yaml mine.yaml '~/raycon/mine.yaml'`, where Docker has made `~/raycon` root's."""
    said, programs = tmp_path / "said", tmp_path / "bin"
    programs.mkdir()
    (programs / "sudo").write_text(f'#!/bin/sh\necho "$*" >> {said}\n')
    (programs / "sudo").chmod(0o700)
    settings = {"HOME": str(tmp_path), "PATH": f"{programs}:/usr/bin:/bin"}
    first = ["bash", "-euc", read("cluster.yaml")["setup_commands"][0]]
    (tmp_path / "raycon").mkdir()
    subprocess.run(first, env=settings, check=True)
    assert not said.exists()
    (tmp_path / "raycon").rmdir()
    (tmp_path / "raycon").symlink_to("/" if os.geteuid() else somebody_elses(tmp_path / "other"))
    subprocess.run(first, env=settings, check=True)
    assert said.read_text() == f"chown {os.geteuid()}:{os.getegid()} {tmp_path}/raycon\n"


def somebody_elses(folder: Path) -> Path:
    """A folder that another user owns; for root alone."""
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    return folder


def test_the_documented_roles_may_do_what_they_are_for() -> None:
    """Both statements are JSON: the bucket for workers, and for the head to start machines with that role."""
    text = (ROOT / "docs/cluster.md").read_text()
    statements = [json.loads(found) for found in re.findall(r"\{\"Version\".*?\}\]\}", text, flags=re.DOTALL)]
    allowed = [one for statement in statements for one in statement["Statement"]]
    actions = {
        name for one in allowed for name in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert {"s3:ListBucket", "s3:PutObject", "iam:PassRole"} <= actions
    (passed,) = (one["Resource"] for one in allowed if one["Action"] == "iam:PassRole")
    # What is passed on is the role; the profile that a machine names only holds it.
    assert ":role/" in passed


def test_the_version_of_ray_is_one() -> None:
    """Client, nodes, image and documentation: Ray refuses to mix versions."""
    texts = [(ROOT / name).read_text() for name in (*RAY_FILES, "cluster.kubernetes.yaml", "docs/cluster.md")]
    found = set(re.findall(r"(?:train\]==|rayproject/ray:|rayVersion: )(\d+\.\d+\.\d+)", "\n".join(texts)))
    assert found == {"2.60.0"}


@pytest.mark.parametrize("name", RAY_FILES)
def test_commands_are_shell(name: str) -> None:
    import subprocess

    for line in commands(read(name)):
        assert "\n" not in line, "Ray sends a command as one line"
        subprocess.run(["bash", "-n", "-c", line], check=True)


def test_the_job_on_kubernetes() -> None:
    claim, job = yaml.safe_load_all((ROOT / "cluster.kubernetes.yaml").read_text())
    assert claim["kind"] == "PersistentVolumeClaim" and claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    head, (gpu,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    assert head["serviceType"] == "ClusterIP" and head["rayStartParams"]["num-cpus"] == "0"
    assert gpu["minReplicas"] == gpu["replicas"] == 0 < gpu["maxReplicas"]
    for group in (head, gpu):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        claims = {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in pod["volumes"]}
        assert claim["metadata"]["name"] in claims
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        folders = {one["name"]: one["value"] for one in container["env"]}
        assert folders["RAYCON_OUT"].startswith("/mnt/raycon") and folders["RAYCON_STORAGE"].startswith("/mnt/raycon")
    assert gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_command_of_the_job_is_a_command() -> None:
    import shlex

    from typer.main import get_command

    from raycon.cli import app

    job = list(yaml.safe_load_all((ROOT / "cluster.kubernetes.yaml").read_text()))[1]
    program, name, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert (program, name) == ("raycon", "sweep")
    command: Any = get_command(app)
    context = command.commands["sweep"].make_context("sweep", arguments)
    # With no worker up nothing says that there will be GPUs, and a run would take a CPU of a machine that has one.
    assert context.params["gpus"] == 1


def test_the_example_of_several_slurm_nodes_uses_all_their_gpus() -> None:
    """A search has sweep.lag + 1 runs at a time at most, whatever there is."""
    import shlex

    from typer.main import get_command

    from raycon.cli import app
    from raycon.space import load

    page = (ROOT / "docs" / "slurm.md").read_text().replace("\\\n", " ")
    (example,) = (line for line in page.splitlines() if line.startswith("sbatch --nodes="))
    options = dict(word.removeprefix("--").split("=", 1) for word in shlex.split(example) if "=" in word)
    sent = shlex.split(example.split("slurm.sbatch", 1)[1])
    command: Any = get_command(app)
    context = command.commands["sweep"].make_context("sweep", sent)
    wanted = load(str(ROOT / context.params["file"]), context.params["overrides"]).sweep
    gpus = int(options["nodes"]) * int(options["gpus-per-node"])
    assert wanted.lag + 1 == gpus == 16
    assert context.params["trials"] > wanted.startup + wanted.lag, "no suggestion would know a result"
    assert context.params["slots"] in (None, gpus) and context.params["name"]
