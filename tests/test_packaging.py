"""What is said in several places about the package is the same in all of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_conda_environment_has_the_bounds_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = {entry for entry in environment["dependencies"] if isinstance(entry, str) and entry != "pip"}
    pip = project()["dependencies"] + project()["optional-dependencies"]["lab"]
    wanted = {re.sub(r"^[\w-]+", lambda name: CONDA_NAMES.get(name[0], name[0]), entry) for entry in pip}
    assert conda == wanted | {f"python{project()['requires-python']}"}


def test_every_dependency_is_pinned_in_the_constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines if "==" in line}
    extras = project()["optional-dependencies"]
    named = {re.match(r"[\w-]+", entry)[0] for entry in [*project()["dependencies"], *extras["lab"], *extras["dev"]]}
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in named} - {"maia-kernel", "torch"}
    assert wanted <= pinned


def test_no_file_names_a_registry_host_or_a_path_of_one_machine():
    for name in ("pyproject.toml", "constraints.txt", "Makefile", "environment.yml", ".ci/run"):
        text = (ROOT / name).read_text()
        assert not re.search(r"https?://|/home/|/root/|index-url", text), name


def test_the_command_starts_without_anything_heavy():
    program = (
        "import sys; from maia_kernel import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'openai', 'matplotlib', 'nbformat', 'jupyter_client', 'rich', 'PIL'}\n"
        "sys.exit(bool(heavy & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60).returncode == 0


def test_the_drivers_start_builds_no_grammar():
    """JupyterLab brings a package that makes every import of nbformat take more than a second."""
    code = "import sys, maia_kernel.driver.notebook; sys.exit('nbformat' not in sys.modules or 'lark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
