"""The experiments as code cells, which use ``system``, ``tools`` and the standard library only."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from maia_kernel.driver.offline import measures, phrases, reasoning
from maia_kernel.driver.offline.evidence import Evidence, Words
from maia_kernel.driver.offline.measures import CONTROL
from maia_kernel.driver.offline.reasoning import AGAIN, ALONE, CONTROLS, EDITED, SCREENED, TWINS, Plan

# Experiments that measure; their cells keep the result under this name, and later cells take pictures from there.
MEASURED = ("probes", "pairs", "binding", "replicates")

_EXEMPLARS = """\
exemplars = tools.dataset_exemplars(system)
for rank, (activation, image) in enumerate(exemplars, start=1):
    tools.display(image, f"exemplar {rank}: activation {activation:.4g}")

titles = [f"exemplar {rank}" for rank in range(1, len(exemplars) + 1)]
tools.display(tools.describe_images([image for _, image in exemplars], titles))"""

_SCREEN = """\
import random

words = {{
{vocabulary}
}}
rng = random.Random(0)

def deck(family, size):
    values = words[family]
    return [value for _ in range(size) for value in rng.sample(values, len(values))][:size]

objects = [f"a {{colour}} {{shape}}" for colour, shape in zip(deck("colour", {objects}), deck("shape", {objects}))]
grounds = [f"on {{ground}} {{'by' if light == 'day' else 'at'}} {{light}}"
           for ground, light in zip(deck("background", {size}), deck("light", {size}))]
prompts = [f"{{one}} and {{two}} {{ground}}{without}"
           for one, two, ground in zip(objects[::2], objects[1::2], grounds)]
screen = tools.text2image(prompts)
activations, masked = system.call_neuron(screen)

order = sorted(range(len(screen)), key=lambda i: activations[i], reverse=True)
for i in order[:4] + order[-2:]:
    tools.display(masked[i], f"activation {{activations[i]:.4g}}")
titles = [f"{{activations[i]:12.4g}}" for i in order]
tools.display(tools.describe_images([screen[i] for i in order], titles))"""


def code(seen: Evidence, plan: Plan) -> str:
    """The code cell of an experiment."""
    if plan.kind == "exemplars":
        return _EXEMPLARS
    if plan.kind == "screen":
        return _screen(seen, [word for hypothesis in plan.hypotheses for word in hypothesis])
    if plan.kind == "edits":
        return "\n\n".join(_minimal_pairs(seen, hypothesis) for hypothesis in plan.hypotheses)
    avoid = reasoning.candidates(seen)
    control = f'probes.images["{CONTROL}"]'
    if plan.kind == "probes":
        control = _times(f"an object{phrases.without(avoid)}", CONTROLS)
    conditions = {}
    for one in plan.hypotheses:
        called, count = measures.name(one), TWINS if reasoning.twins(seen, one) else ALONE
        if plan.kind == "binding":
            conditions[f"{called}, on one object"] = f'pairs.images["{called}"]'
            called = measures.apart(one)
        if plan.kind == "replicates":
            called, count = measures.again(one), AGAIN
        # Without all other words that stand out, so that nothing else can be the cause.
        kept_out = phrases.without(word for word in avoid if word not in one)
        conditions[called] = _times(phrases.prompt(seen, one, apart=plan.kind == "binding") + kept_out, count)
    further = {"variation": 1} if plan.kind == "replicates" else {}
    return _measure(plan.kind, {**conditions, CONTROL: control}, CONTROL, **further)


def _screen(seen: Evidence, found: Sequence[str]) -> str:
    """Pictures of two objects without what stands out; colours, shapes, backgrounds and lights are in balance."""
    rows = []
    for family in ("shape", "colour", "background", "light"):
        words = seen.vocabulary.get(family, ())
        left = [word for word in words if word not in found] or words
        rows.append(f'    "{family}": [{", ".join(map(_quoted, left))}],')
    kept_out = phrases.without(word for word in found if seen.family(word) in ("size", "texture"))
    return _SCREEN.format(vocabulary="\n".join(rows), size=SCREENED, objects=2 * SCREENED, without=kept_out)


def _minimal_pairs(seen: Evidence, hypothesis: Words) -> str:
    """Pictures that were measured already, with one word edited away; and with something else edited, as a control."""
    taken = reasoning.candidates(seen)
    row = measures.measured(seen, hypothesis)
    source = next((kind for kind in MEASURED if row and seen.turns.get(kind) == row.turn), "probes")
    called = measures.again(hypothesis) if source == "replicates" else measures.name(hypothesis)
    lines = [f'base = {source}.images["{called}"][:{EDITED}]']
    conditions = {measures.drawn(hypothesis): "base"}
    for word in sorted(hypothesis):
        edits = [phrases.instruction(seen, word, new) for new in phrases.others(seen, word, taken)]
        lines.append(f"without_{word}, _ = tools.edit_images(base, {_edits(edits)})")
        conditions[measures.changed(hypothesis, word)] = f"without_{word}[1::2]"
    spare = reasoning.spare_family(seen, hypothesis)
    other = [word for word in seen.vocabulary[spare] if word not in taken] or list(seen.vocabulary[spare])
    lines.append(f"otherwise, _ = tools.edit_images(base, {_edits([phrases.setting(spare, new) for new in other])})")
    conditions[measures.changed(hypothesis, spare)] = "otherwise[1::2]"
    shown = ", ".join(f"without_{word}[1]" for word in sorted(hypothesis))
    lines.append(f"tools.display(base[0], {shown}, otherwise[1])")
    lines.append(_measure("edits", conditions, measures.drawn(hypothesis)))
    return "\n".join(lines)


def _measure(result: str, conditions: Mapping[str, str], control: str, **further: int) -> str:
    """A call of measure; conditions are Python expressions."""
    body = "\n".join(f"    {_quoted(called)}: {expression}," for called, expression in conditions.items())
    keywords = "".join(f", {key}={value}" for key, value in further.items())
    return f"{result} = tools.measure({{\n{body}\n}}, control={_quoted(control)}{keywords})"


def _times(prompt: str, count: int) -> str:
    return f"[{_quoted(prompt)}] * {count}"


def _edits(instructions: Sequence[str]) -> str:
    """A list of as many instructions as there are pictures to edit, over as few lines as fit."""
    texts = [instructions[at % len(instructions)] for at in range(EDITED)]
    lines = textwrap.wrap(
        # Spaces inside of the strings must survive the wrapping.
        " ".join(_quoted(text).replace(" ", "\0") + "," for text in texts),
        width=88,
        initial_indent="    ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    body = "\n".join(lines).replace("\0", " ")
    return f"[\n{body}\n]"


def _quoted(text: str) -> str:
    return f'"{text}"'
