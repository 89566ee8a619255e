"""Runs inside of the process that kernels are forked from: what an investigation needs at first use, done once.

Its import loads a unit of the embedded world and calls every tool, so that weights, textures and fonts are in memory
before the fork; a forked kernel saves more than a second. Torch keeps to one thread, for a process with threads must
not be forked.
"""

from __future__ import annotations

import contextlib
import io

import torch

from maia_kernel.lab.load import load
from maia_kernel.lab.models import load_model

torch.set_num_threads(1)
with contextlib.redirect_stdout(io.StringIO()):
    load_model("scenes-neurons")
    _system, _tools = load("scenes", "layer3", 0)
    _masked = [image for _, image in _tools.dataset_exemplars(_system)]
    _tools.describe_images(_masked, "exemplar")
    _tools.edit_images(["a red circle"], ["replace the circle with a star"])
    _tools.measure({"with": "a red circle", "without": "a blue star"})
del _system, _tools, _masked
