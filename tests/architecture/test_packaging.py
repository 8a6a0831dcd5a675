"""What an installed Fovea consists of."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_wheel_holds_our_packages_and_nothing_else(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=ROOT, check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert "service/web/chat.html" in names
    assert any(name.startswith("migrations/versions/") for name in names)


def test_every_folder_of_code_is_packaged():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert folders == set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_the_lock_files_pin_every_direct_dependency_and_no_cuda():
    for name in ("requirements.lock", "requirements-dev.lock"):
        lock = (ROOT / name).read_text()
        pinned = {line.split("==")[0].split("[")[0].lower() for line in lock.splitlines() if "==" in line}
        direct = {re.split(r"[<>=\[ ;]", item)[0].lower() for item in PROJECT["project"]["dependencies"]}
        assert direct <= pinned
        assert not [item for item in pinned if item.startswith(("nvidia", "cuda", "triton"))]


def test_no_file_names_a_package_registry():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    hosts = re.compile("|".join(("python" + "hosted", r"pypi\." + "org", "npm" + "js", r"deb\.debian\." + "org")))
    named = [
        name
        for name in listed.stdout.split("\0")
        if name and (ROOT / name).is_file() and hosts.search((ROOT / name).read_text(errors="replace"))
    ]
    assert named == []


def test_docker_compose_starts_the_service_with_its_data_kept():
    import yaml

    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    service = compose["services"]["fovea"]
    assert service["build"] == "."
    assert any(volume.endswith(":/data") for volume in service["volumes"])
    assert "FOVEA_SERVER__API_KEY" in str(service["environment"])


def test_the_dockerfile_installs_from_the_lock_as_a_plain_user():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any("requirements.lock" in line for line in lines)
    assert any(line.startswith("USER ") and line != "USER root" for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)
