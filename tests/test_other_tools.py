"""Investigations in nbdime, nbconvert and VS Code; and `System` and `Tools` without an investigation.

Runners (jupyter execute, papermill, nbconvert --execute) are in `test_runners.py`.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from maia_kernel.driver.notebook import Investigation

# The first cell of anybody's notebook; nothing else is needed.
BY_THEMSELVES = """from maia_kernel import System, Tools

system = System("scenes", "layer3", 17)
tools = Tools(system)"""
EXPERIMENT = """images = tools.text2image(["a red checkered square", "a red plain square"])
activations, masked = system.call_neuron(images)
tools.display(*masked, "checkered wins" if activations[0] > activations[1] else "plain wins")"""


def call(program: str, *arguments: str, cwd: Path) -> str:
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def run(nb: NotebookNode, folder: Path) -> NotebookNode:
    NotebookClient(nb, timeout=120, resources={"metadata": {"path": str(folder)}}, record_timing=False).execute()
    return nb


def pictures(nb: NotebookNode) -> list[bytes]:
    bundles = [output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", [])]
    return [base64.b64decode(bundle["image/png"]) for bundle in bundles if "image/png" in bundle]


def change_a_prompt(nb: dict[str, Any]) -> int:
    """Edit a prompt of the first cell that measures conditions, as a person does; says which cell."""
    for n, cell in enumerate(nb["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and "tools.measure({" in source:
            cell["source"] = source.replace('["a checkered object', '["a red checkered object')
            assert cell["source"] != source
            return n
    raise AssertionError("no cell measures anything")


@pytest.mark.slow
def test_nbdime_shows_what_differs_between_two_runs(finished, tmp_path):
    nb = nbformat.read(finished, as_version=4)
    at = change_a_prompt(nb)
    nbformat.write(run(nb, tmp_path), tmp_path / "second.ipynb")
    (tmp_path / "first.ipynb").write_bytes(finished.read_bytes())

    shown = call("nbdiff", "--no-color", "first.ipynb", "second.ipynb", cwd=tmp_path)
    changed = re.findall(r"^## (?:modified|inserted before|deleted|added|replaced) /(\S+?):?$", shown, re.MULTILINE)
    assert [where for where in changed if where.endswith("/source")] == [f"cells/{at}/source"]
    assert all(re.match(r"cells/\d+/(outputs|source)", where) for where in changed), changed
    assert re.search(r'^-.*\["a checkered object', shown, re.MULTILINE)
    assert re.search(r'^\+.*\["a red checkered object', shown, re.MULTILINE)
    # A changed number and a changed picture; no picture as base64.
    assert re.search(r"^-checkered +4 +\d", shown, re.MULTILINE)
    assert re.search(r"^\+ +image/png: iVBORw0K...<snip base64, md5=\w+...>$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) < 1000
    assert len(shown) < 20_000
    assert call("nbdiff", "first.ipynb", "first.ipynb", cwd=tmp_path) == ""


def test_nbconvert_to_html_keeps_every_picture(finished, tmp_path):
    call("jupyter-nbconvert", "--to", "html", "--output-dir", str(tmp_path), str(finished), cwd=tmp_path)
    html = (tmp_path / finished.with_suffix(".html").name).read_text()
    kept = [base64.b64decode(text) for text in re.findall(r'<img[^>]*src="data:image/png;base64,([^"]+)"', html)]
    assert kept == pictures(nbformat.read(finished, as_version=4))
    assert "[LABEL 1]" in html


def test_nbconvert_to_markdown_keeps_every_picture(finished, tmp_path):
    call("jupyter-nbconvert", "--to", "markdown", "--output-dir", str(tmp_path), str(finished), cwd=tmp_path)
    text = (tmp_path / finished.with_suffix(".md").name).read_text()
    kept = [(tmp_path / name).read_bytes() for name in re.findall(r"!\[png\]\(([^)]+)\)", text)]
    assert kept == pictures(nbformat.read(finished, as_version=4))
    assert "[LABEL 1]" in text


def as_vs_code(raw: bytes) -> bytes:
    """A notebook as VS Code's serializer (extensions/ipynb) saves it after cells were run on an environment of its own.

    Keys are sorted, texts are lists of lines, the indentation is kept, outputs are rebuilt from the keys that the
    format knows, and the notebook's metadata name the environment and no longer the exporter's and lexer's names.
    """
    nb = json.loads(raw)
    nb["metadata"]["kernelspec"] = {"display_name": ".venv (3.11.2)", "language": "python", "name": "python3"}
    nb["metadata"]["language_info"] = {"name": "python", "version": "3.11.2"}
    known = {
        "stream": ["output_type", "name", "text"],
        "display_data": ["output_type", "data", "metadata"],
        "execute_result": ["output_type", "data", "metadata", "execution_count"],
        "error": ["output_type", "ename", "evalue", "traceback"],
    }
    for cell in nb["cells"]:
        cell["source"] = lines(cell["source"])
        for n, output in enumerate(cell.get("outputs", [])):
            output = {key: output[key] for key in known[output["output_type"]] if key in output}
            if "text" in output:
                output["text"] = lines(output["text"])
            for mime, value in output.get("data", {}).items():
                output["data"][mime] = lines(value) if mime.startswith("text/") else "".join(value).strip()
            cell["outputs"][n] = output
    indent = len(re.match(rb"\{\n( *)", raw)[1])
    return json.dumps(nb, indent=indent, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def lines(text: str | list[str]) -> list[str]:
    return "".join(text).splitlines(keepends=True)


def test_a_notebook_saved_by_vs_code_says_the_same(finished, tmp_path):
    before = Investigation.open(finished)
    path = tmp_path / "vs.ipynb"
    path.write_bytes(as_vs_code(finished.read_bytes()))
    after = Investigation.open(path)
    assert after.messages() == before.messages()
    assert after.final.id == before.final.id
    assert pictures(after.nb) == pictures(before.nb)


def test_an_edit_made_in_vs_code_is_told_and_a_new_cell_is_a_persons(finished, tmp_path):
    nb = json.loads(finished.read_bytes())
    change_a_prompt(nb)
    # A cell that VS Code adds has an id of eight hex digits.
    added = {"cell_type": "markdown", "id": "1f0c2a9b", "metadata": {}, "source": "Is it the colour?"}
    nb["cells"].append(added)
    path = tmp_path / "vs.ipynb"
    path.write_bytes(as_vs_code(json.dumps(nb, indent=1).encode()))
    investigation = Investigation.open(path)
    messages = investigation.messages()
    assert messages[-1].role == "user"
    assert "Is it the colour?" in messages[-1].text
    assert sum("a person has edited this cell" in message.text for message in messages) == 1
    assert investigation.final is None


def test_they_work_by_themselves_in_a_persons_notebook(tmp_path):
    """No metadata of ours, no load(), any runner; and our agent can read it."""
    nb = new_notebook(cells=[new_markdown_cell("# Mine"), new_code_cell(BY_THEMSELVES), new_code_cell(EXPERIMENT)])
    nb = run(nb, tmp_path)
    assert [output.output_type for output in nb.cells[2].outputs] == ["display_data", "display_data", "stream"]
    assert len(pictures(nb)) == 2
    assert nb.cells[2].outputs[-1].text == "checkered wins\n"
    assert "maia" not in nb.metadata
    nbformat.write(nb, tmp_path / "mine.ipynb")
    (message,) = Investigation.open(tmp_path / "mine.ipynb").messages()
    assert message.role == "user"
    assert "A person ran this" in message.text
    assert "checkered wins" in message.text
    assert sum(hasattr(part, "data") for part in message.parts) == 2


def test_they_serve_another_agent_that_has_a_kernel_of_its_own():
    """Whatever drives the kernel reads the standard messages: text, PNG pictures, a value, a traceback."""
    manager, client = start_new_kernel()
    outputs: list[dict[str, Any]] = []

    def execute(code: str) -> str:
        outputs.clear()
        reply = client.execute_interactive(code, timeout=120, output_hook=lambda sent: outputs.append(sent))
        return str(reply["content"]["status"])

    try:
        assert execute(BY_THEMSELVES) == "ok"
        assert execute(EXPERIMENT) == "ok"
        bundles = [sent["content"]["data"] for sent in outputs if sent["msg_type"] == "display_data"]
        assert [sorted(bundle) for bundle in bundles] == [["image/png", "text/plain"]] * 2
        assert execute("[round(activation) > 3 for activation in activations]") == "ok"
        assert [sent["content"]["data"]["text/plain"] for sent in outputs if "data" in sent["content"]] == [
            "[True, False]"
        ]
        assert execute("system.call_neuron()") == "error"
        (error,) = [sent["content"] for sent in outputs if sent["msg_type"] == "error"]
        assert error["ename"] == "BadCall"
        assert "call_neuron(images)" in error["evalue"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
