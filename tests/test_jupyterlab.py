"""A finished investigation in JupyterLab, as a person uses it: opened, run again, edited, and continued."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from lab_browser import browser, idle, open_notebook, server
from nbformat import NotebookNode

from maia_kernel.driver.cells import parse
from maia_kernel.driver.markup import neutralise
from maia_kernel.driver.messages import Reply
from maia_kernel.driver.notebook import Investigation

pytestmark = pytest.mark.xdist_group("jupyterlab")  # one server, one browser
NUMBER = re.compile(r"-?\d+\.\d+")
FINAL = "[DESCRIPTION]: red things\n[LABEL 1]: red (turn 1)"
# What a page may be made of: no element here fetches anything.
HARMLESS = {"P", "A", "CODE", "PRE", "EM", "STRONG", "DEL", "UL", "OL", "LI", "BLOCKQUOTE", "HR", "BR", "INPUT", "SPAN"}
HARMLESS |= {"TABLE", "THEAD", "TBODY", "TR", "TH", "TD", "H1", "H2", "H3", "H4", "H5", "H6"}
AWAY = "https://elsewhere.test"
FETCHING = [
    f"<img src='{AWAY}/1'>",
    f"![a]({AWAY}/2)",
    f"![b]\n\n[b]: {AWAY}/3",
    f'<span style="background-image:url({AWAY}/4)">x</span>',
    f'```mermaid\nflowchart TD\n A@{{ img: "{AWAY}/5", w: 60, h: 60 }}\n```',
    f'[x](<http://a$" style="cursor:url({AWAY}/6),auto" x="$>)',
    f"<video poster='{AWAY}/7'></video>",
    f"https://example.org\\<img src='{AWAY}/8'>",
]
TRICKS = [
    *("<b>", "`a\n<b>`\n`", "`a\n` <b> `c", "$ `$\n<b> ` $", "- $\n  ```\n  $ <b>\n  ```"),
    *("[x]: y '`'\n` <b> `", "~`a` <b>~`", "```<b>", "a\n```<b>", "<http://a`b> <b> `"),
    *("<div>\n\n    <b>\n</div>", "<pre>\n```\n</pre>\n<b>\n```", ">\t  <div>", "=\n    <b>", "`<b>\n<div x`"),
    *("\\\\<b>", "<!-- -->", "a<br/>b", "~~~ <b>\n<b>", "\\<b>", "<é <b>"),
    *("| ` | ` a ` <b> ` |\n|-|-|-|\n| ` | ` a ` <b> ` |", "`a | b` | <b> `"),
]


@pytest.fixture(scope="module")
def lab(program, finished, tmp_path_factory):
    """A page of the JupyterLab that `maia lab` starts on a finished investigation, and the requests that left it."""
    chromium = program("chromium")
    folder = tmp_path_factory.mktemp("lab")
    (folder / "first.ipynb").write_bytes(finished.read_bytes())
    with (
        server(folder / "first.ipynb", tmp_path_factory.mktemp("server")) as url,
        browser(chromium, tmp_path_factory.mktemp("browser"), viewport={"width": 1200, "height": 900}) as page,
    ):
        yield Lab(page, url, folder)


class Lab:
    """A page with one notebook in it, and what it asked of other hosts."""

    def __init__(self, page, url: str, folder: Path):
        self.page, self.url, self.folder = page, url, folder
        self.away: list[str] = []
        page.set_default_timeout(90_000)
        page.goto(f"{url}/lab?reset")
        page.on("request", lambda request: self.away.append(request.url) if not self._near(request.url) else None)
        # Nothing may leave the machine that the tests run on.
        page.route(f"{AWAY}/**", lambda route: route.abort())

    def _near(self, url: str) -> bool:
        return url.startswith((self.url, "data:", "blob:"))

    def open(self, name: str, raw: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(raw)
        self.away.clear()
        open_notebook(self.page, path)
        return path

    def model(self, what: str):
        return self.page.evaluate(f"() => jupyterapp.shell.currentWidget.{what}")

    def command(self, name: str) -> None:
        self.page.evaluate("name => { jupyterapp.commands.execute(name) }", name)

    def save(self) -> None:
        self.page.keyboard.press("Control+s")
        self.page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")


def pictures(nb: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for cell in nb.cells for output in cell.get("outputs", []))


def printed(path: Path) -> str:
    nb = nbformat.read(path, as_version=4)
    return "".join(output.get("text", "") for cell in nb.cells for output in cell.get("outputs", []))


def test_it_opens_with_every_picture_and_as_it_was_saved(lab, finished):
    path = lab.open("opened.ipynb", finished.read_bytes())
    nb = nbformat.read(finished, as_version=4)
    widths = lab.page.eval_on_selector_all(".jp-OutputArea img", "images => images.map(image => image.naturalWidth)")
    assert len(widths) == pictures(nb) > 15
    assert all(widths)
    idle(lab.page)
    assert lab.model("context.model.dirty") is False
    assert lab.page.locator(".jp-mod-dirty").count() == 0
    assert path.read_bytes() == finished.read_bytes()
    assert lab.away == []


def test_the_instructions_are_collapsed_and_the_rest_is_not(lab, finished):
    lab.open("collapsed.ipynb", finished.read_bytes())
    nb = nbformat.read(finished, as_version=4)
    (system,) = [n for n, cell in enumerate(nb.cells) if cell.metadata.get("maia", {}).get("role") == "system"]
    cells = lab.page.locator(".jp-Notebook .jp-Cell")
    hidden = lab.page.eval_on_selector_all(
        ".jp-Notebook .jp-Cell",
        "cells => cells.map(cell => !!cell.querySelector('.jp-InputPlaceholder, .jp-Placeholder'))",
    )
    assert [n for n, is_hidden in enumerate(hidden) if is_hidden] == [system]
    assert cells.nth(system).bounding_box()["height"] < 100
    header, final = cells.first.inner_text(), cells.nth(len(nb.cells) - 1).inner_text()
    assert "Restart Kernel and Run All Cells" in header
    assert "unit 17" in header
    assert "[DESCRIPTION]" in final
    assert "[LABEL 1]" in final


@pytest.fixture
def investigation(tmp_path) -> Investigation:
    """A minute notebook of one turn, without a kernel."""
    notebook = Investigation.new(tmp_path / "minute.ipynb", agent="m", task="question")
    notebook.add("user", "**Question.** Why?")
    return notebook


def test_what_a_model_writes_fetches_nothing(lab, investigation):
    for text in ["A <b>bold</b> claim.", *FETCHING, "[DESCRIPTION]: <b>red</b> things\n[LABEL 1]: red"]:
        investigation.append(parse(text), Reply(text))
    investigation.save()
    lab.open("written.ipynb", investigation.path.read_bytes())
    shown = "\n".join(lab.page.locator(".jp-Notebook .jp-RenderedMarkdown").all_inner_texts())
    assert "A <b>bold</b> claim." in shown
    assert f"<img src='{AWAY}/1'>" in shown
    assert "[DESCRIPTION]: <b>red</b> things\n[LABEL 1]: red" in shown
    assert lab.page.locator(".jp-Notebook .jp-RenderedMarkdown :is(img, video, svg, b)").count() == 0
    assert lab.away == []


def test_the_same_text_as_a_person_wrote_it_does_fetch(lab, investigation):
    """Without this the test above would prove nothing."""
    for text in FETCHING:
        investigation.add("user", text)
    investigation.save()
    lab.open("fetching.ipynb", investigation.path.read_bytes())
    assert {int(url[len(AWAY) + 1 :]) for url in lab.away} == set(range(1, len(FETCHING) + 1))


def test_jupyterlab_agrees_on_what_is_code(lab, finished):
    lab.open("tricks.ipynb", finished.read_bytes())
    elements = lab.page.evaluate(
        """async texts => {
            const rendermime = jupyterapp.shell.currentWidget.content.rendermime;
            return Promise.all(texts.map(async text => {
                const renderer = rendermime.createRenderer('text/markdown');
                await renderer.renderModel(rendermime.createModel({data: {'text/markdown': text}}));
                return [...renderer.node.querySelectorAll('*')].map(element => element.tagName);
            }));
        }""",
        [*map(neutralise, TRICKS), *TRICKS],
    )
    safe, raw = elements[: len(TRICKS)], elements[len(TRICKS) :]
    strange = {text: set(found) - HARMLESS for text, found in zip(TRICKS, safe, strict=True)}
    assert not {text: found for text, found in strange.items() if found}
    assert sum(bool(set(found) - HARMLESS) for found in raw) > len(TRICKS) / 2


def test_restart_and_run_all_gives_the_same_numbers(lab, finished):
    path = lab.open("rerun.ipynb", finished.read_bytes())
    idle(lab.page)
    lab.page.click("text=Run >> visible=true")
    lab.page.click('[data-command="runmenu:restart-and-run-all"]')
    lab.page.click(".jp-Dialog .jp-mod-accept")
    lab.page.wait_for_function(
        """() => [...jupyterapp.shell.currentWidget.content.model.sharedModel.cells].every(
            cell => cell.cell_type != 'code' || (cell.execution_count && cell.executionState == 'idle'))"""
    )
    idle(lab.page)
    lab.save()
    nb = nbformat.read(path, as_version=4)
    outputs = [output for cell in nb.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert pictures(nb) == pictures(nbformat.read(finished, as_version=4))
    before, after = printed(finished), printed(path)
    assert NUMBER.sub("#", after) == NUMBER.sub("#", before)
    assert list(map(float, NUMBER.findall(after))) == pytest.approx(list(map(float, NUMBER.findall(before))), abs=1e-4)
    sources = [
        [cell.source for cell in nbformat.read(each, as_version=4).cells if cell.source] for each in (finished, path)
    ]
    assert sources[0] == sources[1]


def test_an_edit_typed_into_a_cell_is_continued(lab, finished, chat_server):
    path = lab.open("edited.ipynb", finished.read_bytes())
    nb = nbformat.read(path, as_version=4)
    turns = [n for n, cell in enumerate(nb.cells) if cell.metadata.get("maia", {}).get("role") == "assistant"]
    edited = [n for n in turns if nb.cells[n].cell_type == "code"][-1]
    lab.page.locator(".jp-Notebook .jp-Cell").nth(edited).locator(".cm-content").click()
    lab.page.keyboard.press("Control+End")
    lab.page.keyboard.type("\nprint('typed', 'by hand')")
    lab.save()
    assert nbformat.read(path, as_version=4).cells[edited].source.endswith("print('typed', 'by hand')")

    chat_server.answer(FINAL)
    call = [*("continue", path.name, "--agent", "m", "--base-url", chat_server.url), *("--question", "What now?")]
    done = subprocess.run(
        [sys.executable, "-m", "maia_kernel.cli", *call],
        cwd=path.parent,
        env=os.environ | {"OPENAI_API_KEY": "none"},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    (request,) = chat_server.requests
    said = json.dumps(request["messages"])
    assert "print('typed', 'by hand')" in said
    assert "edited" in said
    assert "typed by hand" in said
    assert "What now?" in said
    assert nbformat.read(path, as_version=4).cells[edited].source.endswith("print('typed', 'by hand')")
