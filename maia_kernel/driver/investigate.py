"""One investigation from start to end: the only place where notebook, kernel, prompts and agent are put together."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nbformat import NotebookNode

from maia_kernel import __version__, errors
from maia_kernel.artifacts import Scratch, beside
from maia_kernel.driver import prompts as prompt_files
from maia_kernel.driver.agent import Limits, Watcher, run, setup
from maia_kernel.driver.cells import Notice, Turn
from maia_kernel.driver.files import alone
from maia_kernel.driver.kernel import Kernel, Result
from maia_kernel.driver.notebook import Investigation, setup_sources
from maia_kernel.driver.vlm import OFFLINE, VLM, choose
from maia_kernel.driver.zygote import Zygote, available
from maia_kernel.errors import KernelError, UsageError
from maia_kernel.locations import resolve

FOLDER = Path("investigations")
# What a kernel is given of the environment: enough to find Python, libraries, devices and caches, and no key.
_PASSED_ON = {"PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
_PASSED_ON |= {"JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "HF_HOME", "HF_HUB_CACHE", "SYSTEMROOT"}
_PASSED_ON_BEGINNINGS = ("LC_", "XDG_", "PYTHON", "MAIA_", "CONDA_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "TORCH_")
# Progress bars and warnings of libraries are no outputs.
_QUIET = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}
# What every investigation needs; names only, for this side has nothing of it.
PRELOAD = ("maia_kernel.lab.load", "matplotlib.figure", "matplotlib.backends.backend_agg")


@dataclass(frozen=True)
class Study:
    """What is investigated, and with which instruments; names as ``load`` takes them.

    Attributes
    ----------
    model, layer : str
        The subject model and a layer of it by its dotted name.
    unit : int or str
        The unit's number, or its name where the layer has names.
    dataset, generator, editor, describer : str
        The instruments.
    seed : int
        The seed of every random choice.
    """

    model: str = "scenes"
    layer: str = "layer3"
    unit: int | str = 17
    dataset: str = "scenes"
    generator: str = "scenes"
    editor: str = "scenes"
    describer: str = "scenes"
    seed: int = 0


class Nobody:
    """A watcher that looks away."""

    def waiting(self, turn: int) -> None: ...
    def replied(self, turn: int, reply: Turn) -> None: ...
    def running(self, cell: NotebookNode) -> None: ...
    def ran(self, cell: NotebookNode, result: Result) -> None: ...
    def noticed(self, notice: Notice) -> None: ...
    def restoring(self, done: int, total: int) -> None: ...
    def ended(self, notebook: Investigation) -> None: ...


def investigate(
    model: str = Study.model,
    layer: str = Study.layer,
    unit: int | str = Study.unit,
    *,
    dataset: str = Study.dataset,
    generator: str = Study.generator,
    editor: str = Study.editor,
    describer: str = Study.describer,
    seed: int = Study.seed,
    agent: str | VLM = OFFLINE,
    base_url: str | None = None,
    task: str = "describe",
    question: str | None = None,
    limits: Limits | None = None,
    prompts: str | Path | None = None,
    out: str | Path | None = None,
    watch: Watcher | None = None,
    zygote: Zygote | None = None,
) -> Investigation:
    """Investigate a unit and leave a notebook; the same as ``maia run``.

    Parameters
    ----------
    model, layer, unit, dataset, generator, editor, describer, seed
        As :class:`Study`.
    agent : str or VLM
        ``"offline"``, a model at an OpenAI-compatible endpoint, or any object with ``name``, ``about`` and ``reply``.
    base_url : str, optional
        The endpoint; ``OPENAI_BASE_URL`` and OpenAI's own are the defaults.
    task : str
        ``"describe"``, or the name of another ``task-NAME.md`` of the prompts.
    question : str, optional
        A question of your own; makes the task ``"question"``.
    limits : Limits, optional
        Turns, seconds, tokens, seconds per cell.
    prompts : path, optional
        A folder of prompts that replace the shipped ones.
    out : path, optional
        The notebook to write; an existing file is refused. By default a new file in ``investigations/``.
    watch : Watcher, optional
        Is told what happens.
    zygote : Zygote, optional
        Forks the kernel; for many investigations. By default the run has one of its own.

    Returns
    -------
    Investigation
        Finished; its ``path`` is the notebook.

    Raises
    ------
    UsageError
        A wrong name, unit, folder, or a missing key: nothing has been written.
    LimitReached, VLMError, KernelError
        The run has ended early; the notebook is valid and can be continued.
    """
    study = Study(model, layer, unit, dataset, generator, editor, describer, seed)
    if task == "question" and not question:
        raise UsageError("the task 'question' needs a question: --question 'why does …?'")
    folder = Path(prompts) if prompts is not None else None
    environment = kernel_environment(os.environ)
    with warm(zygote, environment) as zygote:
        prompt_files.check_folder(folder)
        path = destination(out, study)  # refuses early what cannot be written late
        vlm = choose(agent, base_url, os.environ) if isinstance(agent, str) else agent
        notebook = draft(study, vlm, task="question" if question else task, question=question, folder=folder)
        watch = watch or Nobody()
        where = Path(out).parent if out is not None else Path.cwd()
        with (
            scratch_for(path) as scratch,
            Kernel(env=environment, cwd=where, zygote=zygote, scratch=scratch) as kernel,
        ):
            require(setup(notebook, kernel, watch))
            notebook.path = destination(out, study)
            notebook.path.parent.mkdir(exist_ok=True)
            scratch.also_keep(beside(notebook.path))
            with alone(notebook.path, resolve(os.environ, Path.cwd()).cache / "locks"):
                notebook.save()
                run(notebook, vlm, kernel, limits or Limits(), watch)
    return notebook


def scratch_for(notebook: Path) -> Scratch:
    """Where a run's kernel leaves artifacts; they are kept in the user's cache, and later beside the notebook."""
    places = resolve(os.environ, Path.cwd())
    return Scratch([places.cache / "artifacts"], [beside(notebook), *places.stores])


@contextlib.contextmanager
def warm(zygote: Zygote | None, environment: Mapping[str, str]) -> Iterator[Zygote | None]:
    """The process that a run's kernels are forked from, None where that is not possible.

    It imports torch beside this process, which has imports of its own to make; and a kernel that has died is replaced
    in a fraction of a second.
    """
    if zygote is not None or not available():
        yield zygote
        return
    with Zygote(env=environment, preload=PRELOAD) as own:
        yield own


def draft(study: Study, vlm: VLM, *, task: str, question: str | None, folder: Path | None) -> Investigation:
    """An investigation up to its question, in memory: header, system prompt, setup cells, question."""
    facts = {**asdict(study), "question": question or ""}
    asked = prompt_files.render(f"task-{task}", facts, folder)
    notebook = Investigation.new(Path(), agent=vlm.name, task=task)
    notebook.add("header", _header(study, vlm, asked))
    system = prompt_files.render("system", {**facts, "api": prompt_files.api_reference()}, folder)
    notebook.add("system", system, jupyter={"source_hidden": True})
    parameters, loading = setup_sources(asdict(study))
    notebook.add("setup", parameters, code=True, tags=["parameters"])
    notebook.add("setup", loading, code=True)
    notebook.add("user", asked)
    return notebook


def destination(out: str | Path | None, study: Study) -> Path:
    """The file to write: the one that was named, or a new one in ``investigations/``.

    Raises
    ------
    UsageError
        As :func:`writable`.
    """
    if out is not None:
        return writable(Path(out))
    stem = "-".join(str(part).replace("/", "_") for part in (study.model, study.layer, study.unit))
    names = (f"{stem}{f'-{n}' if n > 1 else ''}.ipynb" for n in range(1, 1_000_000))
    path = next(FOLDER / name for name in names if not (FOLDER / name).exists())
    return _in_writable(FOLDER if FOLDER.exists() else Path.cwd(), path)


def writable(path: Path) -> Path:
    """Check that a new notebook can be written there; returns the path.

    Raises
    ------
    UsageError
        It exists, or its folder does not, or cannot be written.
    """
    if path.suffix != ".ipynb":
        raise UsageError(f"--out {path}: a notebook's name ends in .ipynb")
    if path.exists():
        raise UsageError(f"--out {path} exists; name another file, or remove it")
    return _in_writable(path.parent, path)


def _in_writable(folder: Path, path: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}: no permission to write in {folder}")
    return path


def kernel_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a run's kernel: an allow-list of the user's, so that no key reaches code of the agent."""
    kept = {key: environ[key] for key in environ if key in _PASSED_ON or key.startswith(_PASSED_ON_BEGINNINGS)}
    return {**kept, **_QUIET}


def require(result: Result) -> None:
    """Turn a failed setup cell into the error that it raised in the kernel, for a person to read in one line.

    Raises
    ------
    UsageError, KernelError
        It was one of this program's own errors; it was anything else.
    """
    if result.status == "ok":
        return
    name, message = result.error or (result.status, result.note)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, errors.MaiaError):
        raise UsageError(message)
    raise KernelError(f"the setup cells failed: {name}: {message}")


def _header(study: Study, vlm: VLM, asked: str) -> str:
    first = asked.split("\n\n")[0].replace("**Question.**", "").strip()
    return f"""# {study.model} · {study.layer} · unit {study.unit}

*{first}*

| | |
|---|---|
| **subject** | unit {study.unit} in layer `{study.layer}` of the model `{study.model}` |
| **instruments** | dataset `{study.dataset}`, generator `{study.generator}`, editor `{study.editor}`, \
describer `{study.describer}`, seed {study.seed} |
| **agent** | `{vlm.name}`: {vlm.about} |
| **made by** | maia_kernel {__version__}, {datetime.datetime.now(datetime.UTC).date()} |

Text cells are the agent's reasoning, code cells its experiments; the next cells hold the instructions that the agent \
was given and the parameters, and the conclusion stands at the end. In an environment that has maia_kernel, \
`maia rerun` with this file's name runs a copy and says what reproduces and which claims still stand; *Run ▸ Restart \
Kernel and Run All Cells* runs it here. Edit any cell and let the agent go on with `maia continue`."""
