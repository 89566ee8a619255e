"""A person's JupyterLab for the tests, in a real browser: the server that `maia lab` starts, and a page of it."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
# No news, no look for updates; and all cells are in the page, seen or not.
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}


@contextmanager
def server(notebook: Path, scratch: Path) -> Iterator[str]:
    """Run ``maia lab NOTEBOOK`` with a configuration of its own under ``scratch``; gives its URL.

    Kernels that it started are shut down with it.
    """
    config, settings = scratch / "config", scratch / "settings"
    for name, values in SETTINGS.items():
        path = settings / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    config.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    values = {
        "ServerApp": {"open_browser": False, "port": port},
        "IdentityProvider": {"token": ""},
        "LabApp": {"expose_app_in_browser": True},
    }
    (config / "jupyter_server_config.json").write_text(json.dumps(values))
    (config / "labconfig").mkdir()
    (config / "labconfig/page_config.json").write_text('{"disabledExtensions": {"nbdime-jupyterlab": true}}')
    folders = {"JUPYTER_CONFIG_DIR": config, "JUPYTERLAB_SETTINGS_DIR": settings}
    folders |= {"JUPYTER_RUNTIME_DIR": scratch / "runtime", "JUPYTERLAB_WORKSPACES_DIR": scratch / "workspaces"}
    environment = os.environ | {name: str(folder) for name, folder in folders.items()}
    command = [sys.executable, "-m", "maia_kernel.cli", "lab", notebook.name]
    process = subprocess.Popen(command, cwd=notebook.parent, env=environment, stderr=subprocess.PIPE, text=True)
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in process.stderr or ():
            lines.put(line)
        lines.put("")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        log = [lines.get(timeout=60)]
        while " is running at:" not in log[-1]:
            assert log[-1], f"JupyterLab did not start: {''.join(log)}"
            log.append(lines.get(timeout=60))
        url = lines.get(timeout=10).split()[-1]
        yield url.split("/lab")[0]
    finally:
        process.terminate()
        process.wait(timeout=60)
        reader.join()
        if process.stderr:
            process.stderr.close()


@contextmanager
def browser(chromium: str, scratch: Path, **options: Any) -> Iterator[Page]:
    """A page of a fresh, headless browser."""
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            scratch / "profile", executable_path=chromium, headless=True, args=ARGUMENTS.split(), **options
        )
        try:
            yield context.pages[0]
        finally:
            context.close()


def open_notebook(page: Page, path: Path) -> None:
    """Open a notebook of the server's folder in the page, in place of any other, and wait until all of it is there."""
    page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
    page.evaluate(
        """async path => {
            for (const widget of [...jupyterapp.shell.widgets('main')]) {
                await widget.context?.sessionContext?.shutdown();
                widget.dispose();
            }
            const widget = await jupyterapp.commands.execute('docmanager:open', {path, factory: 'Notebook'});
            await widget.context.ready;
            await widget.revealed;
        }""",
        path.name,
    )
    page.wait_for_function(
        """count => {
            const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
            const there = cell => !cell.matches('.jp-MarkdownCell')
                || cell.querySelector('.jp-RenderedMarkdown > *, .jp-InputPlaceholder, .jp-Placeholder');
            const images = [...document.querySelectorAll('.jp-Notebook img')];
            return cells.length == count && cells.every(there) && images.every(image => image.complete);
        }""",
        arg=len(json.loads(path.read_text())["cells"]),
    )


def idle(page: Page) -> None:
    """Wait until there is a kernel, and it has nothing to do."""
    page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status == 'idle'")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached")
