"""What this machine can do, for ``maia doctor``. Says whether a key is set, never what it is."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from maia_kernel import __version__, locations
from maia_kernel.errors import MaiaError


def report() -> tuple[bool, list[str]]:
    """Examine the machine.

    Returns
    -------
    healthy : bool
        False when the embedded world itself cannot run.
    lines : list of str
        One finding each, for a person.
    """
    subject_ok, subject = _embedded_world()
    cache = locations.resolve(os.environ, Path.cwd()).cache
    keys = [name for name in ("OPENAI_API_KEY",) if os.environ.get(name)]
    found = {
        "maia_kernel": f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "device": _device(),
        "embedded world": subject,
        "generators": "scenes, or package.module:attribute of your own",
        "keys": f"set: {', '.join(keys)}" if keys else "none set; --agent offline needs none",
        "endpoint": "OPENAI_BASE_URL is set"
        if os.environ.get("OPENAI_BASE_URL")
        else "OpenAI's own, unless --base-url",
        "cage": "none yet: code that a model writes runs with your rights, without your keys in its environment",
        "JupyterLab": _installed("jupyterlab", "pip install 'maia_kernel[lab]' brings it"),
        "nbclient": _installed("nbclient", "pip install 'maia_kernel[lab]' brings it"),
        "nbconvert": _installed("nbconvert", "pip install 'maia_kernel[lab]' brings it"),
        "papermill": _installed("papermill", "pip install 'maia_kernel[lab]' brings it"),
        "cache": f"{cache}{'' if _writable(cache) else ' (cannot be written)'}",
    }
    width = max(map(len, found))
    return subject_ok and _writable(cache), [f"{name:<{width}}  {finding}" for name, finding in found.items()]


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB, torch {torch.__version__}"
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        return f"CPU only: there is an NVIDIA GPU, but torch {torch.__version__} cannot use it; see README, 'Install'"
    if torch.backends.mps.is_available():
        return f"Apple GPU (MPS), torch {torch.__version__}"
    return f"CPU, {os.cpu_count()} cores, torch {torch.__version__}"


def _embedded_world() -> tuple[bool, str]:
    from maia_kernel.lab.models import load_model

    try:
        load_model("scenes")
    except (MaiaError, OSError) as error:
        return False, f"broken: {error}"
    return True, "its network loads and its checksum is right"


def _installed(package: str, otherwise: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"not installed; {otherwise}"


def _writable(folder: Path) -> bool:
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(nearest, os.W_OK)
