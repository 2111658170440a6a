"""Every mistake that the check of a cluster file promises to find, made in the real one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.cluster.command import main
from pipeline.cluster.job import check
from pipeline.cluster.validate import LISTS, locked

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "cluster.yaml").read_text()

MISTAKES = {
    "provider typo": ("  region: us-west-2", "  regoin: us-west-2", "provider.regoin", "'region'"),
    "unknown top key": ("upscaling_speed: 1.0", "upscalingspeed: 1.0", "", "upscalingspeed"),
    "schema": ("max_workers: 8          #", "max_workers: many  #", "max_workers", "many"),
    "node type typo": (
        "    max_workers: 8\n    resources: {CPU: 8, GPU: 1}\n    node_config: &worker",
        "    max_worker: 8\n    resources: {CPU: 8, GPU: 1}\n    node_config: &worker",
        "available_node_types.a10g",
        "'max_worker' was unexpected",
    ),
    "machine typo": (
        "InstanceType: m7i.large",
        "InstanceTyp: m7i.large",
        "available_node_types.head.node_config.InstanceTyp",
        "'InstanceType'",
    ),
    "deep machine typo": (
        "VolumeSize: 150",
        "VolumeSiz: 150",
        "available_node_types.head.node_config.BlockDeviceMappings[0].Ebs.VolumeSiz",
        "'VolumeSize'",
    ),
    "machine value": (
        "VolumeSize: 150",
        "VolumeSize: big",
        "available_node_types.head.node_config.BlockDeviceMappings[0].Ebs.VolumeSize",
        "integer",
    ),
    "spot typo": (
        "MarketType: spot}",
        "MarketType: spto}",
        "available_node_types.a10g.node_config.InstanceMarketOptions.MarketType",
        "'spot'",
    ),
    "spot head": (
        "InstanceType: m7i.large",
        "InstanceType: m7i.large\n      InstanceMarketOptions: {MarketType: spot}",
        "available_node_types.head.node_config.InstanceMarketOptions",
        "must outlive",
    ),
    "no image": (
        "InstanceType: g6.2xlarge",
        "ImageIds: none",
        "available_node_types.l4.node_config.ImageIds",
        "'ImageId'",
    ),
    "open dashboard": (
        "--dashboard-host=127.0.0.1",
        "--dashboard-host=0.0.0.0",
        "head_start_ray_commands[1]",
        "0.0.0.0",
    ),
    "dashboard on a public address": (
        "--dashboard-host=127.0.0.1",
        "--dashboard-host 8.8.8.8",
        "head_start_ray_commands[1]",
        "8.8.8.8",
    ),
    "open mlflow": (
        "mlflow server --host \"$(hostname -I | cut -d ' ' -f 1)\"",
        "mlflow server --host 0.0.0.0",
        "head_start_ray_commands[3]",
        "0.0.0.0",
    ),
    "open port": (
        "{GroupName: normscope}",
        "{GroupName: normscope, IpPermissions: [{FromPort: 8265, ToPort: 8265, IpProtocol: tcp, "
        "IpRanges: [{CidrIp: 0.0.0.0/0}]}]}",
        "provider.security_group.IpPermissions[0]",
        "open 22 alone",
    ),
    "other Ray": (
        "  - make -C ~/normscope .venv/ready",
        "  - make -C ~/normscope .venv/ready\n  - pip install 'ray[default]==2.9.0'",
        "setup_commands[3]",
        "ray 2.9.0",
    ),
    "nightly Ray": (
        "  - make -C ~/normscope .venv/ready",
        "  - make -C ~/normscope .venv/ready\n  - pip install ray-3.0.0.dev0-cp312-cp312-any.whl",
        "setup_commands[3]",
        "ray-3.0.0.dev0",
    ),
    "other image of Ray": (
        "docker: {}",
        "docker: {image: 'rayproject/ray:2.9.0', container_name: ray}",
        "docker.image",
        "2.9.0",
    ),
    "no environment": ("make -C ~/normscope .venv/ready", "echo", "setup_commands", "locked"),
    "head without token": ("    RAY_AUTH_MODE=token\n", "", "head_start_ray_commands", "TOKEN"),
    "worker without token": ("RAY_AUTH_MODE=token ~/", "~/", "worker_start_ray_commands", "TOKEN"),
    "token not mounted": ("  ~/.ray/auth_token: ~", "  ~/.ray/token: ~", "file_mounts", "no token"),
    "results on the head": (
        '"s3://normscope-$ACCOUNT/results"',
        "/home/ubuntu/results",
        "head_setup_commands[1]",
        "on the head's disk",
    ),
    "no storage": ("NORMSCOPE_STORAGE=", "STORAGE=", "head_setup_commands", "NORMSCOPE_STORAGE"),
    "artifacts on the head": (
        '"s3://normscope-$ACCOUNT/mlflow"',
        "file:///home/ubuntu/mlflow",
        "head_setup_commands[1]",
        "MLFLOW_ARTIFACTS_DESTINATION",
    ),
    "database on the head": (
        "MLFLOW_BACKEND_STORE_URI=$(python -c",
        "MLFLOW_BACKEND_STORE_URI=sqlite:////home/ubuntu/mlflow.db $(python -c",
        "head_start_ray_commands[3]",
        "SQLite",
    ),
    "no database": (
        "MLFLOW_BACKEND_STORE_URI=$(python",
        "BACKEND=$(python",
        "head_start_ray_commands",
        "MLFLOW_BACKEND_STORE_URI",
    ),
    "a password": (
        "MLFLOW_BACKEND_STORE_URI=$(python",
        "X=postgresql://me:secret@db/mlflow MLFLOW_BACKEND_STORE_URI=$(python",
        "head_start_ray_commands[3]",
        "secret",
    ),
    "an access key": (
        "AWS_DEFAULT_REGION=us-west-2",
        "AWS_ACCESS_KEY_ID=AKIAABCDEFGHIJKLMNOP",
        "head_setup_commands[0]",
        "secret",
    ),
    "no word of the workers": (
        "NORMSCOPE_CLUSTER=",
        "CLUSTER=",
        "head_setup_commands",
        "NORMSCOPE_CLUSTER",
    ),
    "given twice": ("docker: {}", "docker: {}\ndocker: {}", "docker", "twice"),
}


def write(folder: Path, text: str) -> Path:
    file = folder / "cluster.yaml"
    file.write_text(text)
    return file


def test_the_file_that_comes_with_normscope_has_no_problem() -> None:
    assert check(ROOT / "cluster.yaml") == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_on_its_line(mistake: str, tmp_path: Path) -> None:
    right, wrong, key, said = MISTAKES[mistake]
    assert right in TEXT
    found = check(write(tmp_path, TEXT.replace(right, wrong, 1)))
    hits = [each for each in found if each.key == key and said.lower() in str(each).lower()]
    assert hits, [str(each) for each in found]
    assert all("\n" not in str(each) for each in found)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_left_out_is_found(name: str, tmp_path: Path) -> None:
    content = yaml.safe_load(TEXT)
    del content[name]
    found = check(write(tmp_path, yaml.safe_dump(content)))
    assert any(each.key == name and "missing" in str(each) for each in found)


def test_a_problem_names_file_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, TEXT.replace("--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0"))
    line = TEXT[: TEXT.index("head_start_ray_commands:")].count("\n") + 3
    assert main([str(file)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"{file}:{line}: head_start_ray_commands[1]: listens on 0.0.0.0; "
        "give 127.0.0.1 or the machine's private address"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "a: [",
        "cluster_name: x\n",
        "provider: {}\n",
        "a: b\n",
        "provider: [1]",
        "provider: {type: local}",
    ],
)
def test_what_is_no_cluster_file_is_a_problem_and_no_traceback(text: str, tmp_path: Path) -> None:
    assert main([str(write(tmp_path, text))]) == 2


def test_the_lock_is_read() -> None:
    versions = locked(ROOT / "requirements.lock")
    assert versions["ray"].count(".") == 2
    assert {"torch", "mlflow", "boto3"} <= versions.keys()
