"""Hands forked kernels to jupyter_client, which otherwise starts processes of its own.

Imported by `connection.py` when a kernel is to be forked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jupyter_client.provisioning import LocalProvisioner

from maia_kernel.driver.zygote import PATIENCE, Forked, Zygote


class ForkedProvisioner(LocalProvisioner):  # type: ignore[misc]
    """A kernel's process is forked from `zygote`; everything else is as for a process of jupyter_client's own."""

    zygote: Zygote
    forked: Forked | None = None

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        """Fork what the kernelspec's command would have started; where it is no ipykernel of this Python, start it."""
        if cmd[1:3] != ["-m", "ipykernel_launcher"] or os.path.abspath(cmd[0]) != os.path.abspath(sys.executable):
            return dict(await super().launch_kernel(cmd, **kwargs))
        env = {**kwargs["env"], "JPY_PARENT_PID": str(os.getpid())}
        self.forked = self.zygote.fork(cmd[3:], env=env, cwd=Path(kwargs["cwd"]), log=kwargs["stderr"])
        self.process = self.forked
        self.pid = self.pgid = self.forked.pid
        self.cwd = kwargs["cwd"]
        return dict(self.connection_info)

    async def kill(self, restart: bool = False) -> None:
        """Kill the process group, and wait for the end, which would else be looked for ten times a second."""
        await super().kill(restart)
        if self.forked is not None:
            self.forked.wait(PATIENCE)
