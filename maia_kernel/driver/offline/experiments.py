"""The experiments as code cells, which use ``system``, ``tools`` and the standard library only."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from maia_kernel.driver.offline import phrases, reasoning
from maia_kernel.driver.offline.evidence import Evidence, Words
from maia_kernel.driver.offline.reasoning import CONTROL, Plan

_EXEMPLARS = """\
exemplars = tools.dataset_exemplars(system)
for rank, (activation, image) in enumerate(exemplars, start=1):
    tools.display(image, f"exemplar {rank}: activation {activation:.3f}")

titles = [f"exemplar {rank}" for rank in range(1, len(exemplars) + 1)]
tools.display(tools.describe_images([image for _, image in exemplars], titles))"""

_SCREEN = """\
import random

words = {{
{vocabulary}
}}
size = 48
rng = random.Random(0)
decks = {{family: rng.sample((values * size)[:size], size) for family, values in words.items()}}
prompts = [
    f"a {{size}} {{colour}} {{texture}} {{shape}} on {{background}} {{'by day' if light == 'day' else 'at ' + light}}"
    for size, colour, texture, shape, background, light in zip(*(decks[family] for family in
        ["size", "colour", "texture", "shape", "background", "light"]))
]
activations, masked = system.call_neuron(tools.text2image(prompts))

ranking = sorted(zip(activations, prompts, masked), key=lambda one: one[0], reverse=True)
for activation, prompt, image in ranking[:4] + ranking[-2:]:
    tools.display(image, f"{{prompt}}: {{activation:.3f}}")
for activation, prompt, _ in ranking:
    print(f"{{activation:9.3f}}  {{prompt}}")"""


def code(seen: Evidence, plan: Plan) -> str:
    """The code cell of an experiment."""
    if plan.kind == "exemplars":
        return _EXEMPLARS
    if plan.kind == "screen":
        lines = [f'    "{family}": {list(words)!r},' for family, words in seen.vocabulary.items()]
        return _SCREEN.format(vocabulary="\n".join(lines).replace("'", '"'))
    if plan.kind == "pairs":
        return "\n\n".join(_factorial(seen, pair) for pair in plan.hypotheses)
    if plan.kind == "replicates":
        conditions = {word: phrases.prompt({seen.family(word): word}) for (word,) in plan.hypotheses}
        return f"{_measure(conditions, next(iter(conditions)), repeats=15)[:-1]}, variation=1)"
    if plan.kind == "edits":
        return "\n\n".join(_minimal_pairs(seen, hypothesis) for hypothesis in plan.hypotheses)
    # A second control has a name of its own: what was measured against the first is compared with the first for good.
    control = CONTROL if plan.kind == "probes" else f"{CONTROL} either"
    return _probes(seen, [word for hypothesis in plan.hypotheses for word in hypothesis], control)


def _probes(seen: Evidence, words: Sequence[str], control: str) -> str:
    """Each word alone, against pictures that hold none of them."""
    avoid = {*words, *reasoning.candidates(seen)}
    conditions: dict[str, str | list[str]] = {word: phrases.prompt({seen.family(word): word}) for word in words}
    conditions[control] = [phrases.prompt(values) for values in phrases.contexts(seen, {}, avoid, 8)]
    return _measure(conditions, control, repeats=5)


def _factorial(seen: Evidence, pair: Words) -> str:
    """Both words, each without the other, and neither: what is more than the better of two words needs both."""
    first, second = sorted(pair)
    family, other = seen.family(first), seen.family(second)
    swaps = {word: phrases.others(seen, word, reasoning.candidates(seen)) for word in pair}
    without_second = [{family: first, other: swap} for swap in _cycle(swaps[second], 5)]
    without_first = [{family: swap, other: second} for swap in _cycle(swaps[first], 5)]
    without_both = [
        {family: one, other: two} for one, two in zip(_cycle(swaps[first], 5), _cycle(swaps[second], 5), strict=True)
    ]
    conditions: dict[str, str | list[str]] = {
        reasoning.name(pair): phrases.prompt({family: first, other: second}),
        reasoning.only(first, second): [phrases.prompt(values) for values in without_second],
        reasoning.only(second, first): [phrases.prompt(values) for values in without_first],
        reasoning.neither(pair): [phrases.prompt(values) for values in without_both],
    }
    return _measure(conditions, reasoning.neither(pair), repeats=5)


def _minimal_pairs(seen: Evidence, hypothesis: Words) -> str:
    """The same pictures with one word edited away, everything else unchanged."""
    values = phrases.families(seen, hypothesis)
    pictures = phrases.contexts(seen, values, reasoning.candidates(seen), 5)
    lines = [f"base = tools.text2image({_listed([phrases.prompt(picture) for picture in pictures])})"]
    conditions = {reasoning.drawn(hypothesis): "base"}
    for family, word in values.items():
        swaps = _cycle(phrases.others(seen, word, reasoning.candidates(seen)), 5)
        edits = [phrases.instruction(family, one["shape"], new) for one, new in zip(pictures, swaps, strict=True)]
        lines.append(f"without_{word}, _ = tools.edit_images(base, {_listed(edits)})")
        conditions[reasoning.changed(hypothesis, word)] = f"without_{word}[1::2]"
    rows = "\n".join(f'    "{name}": {value},' for name, value in conditions.items())
    lines.append(f"tools.display(base[0], {', '.join(f'without_{word}[1]' for word in values.values())})")
    lines.append(f'result = tools.measure({{\n{rows}\n}}, control="{reasoning.drawn(hypothesis)}")')
    return "\n".join(lines)


def _measure(conditions: Mapping[str, str] | Mapping[str, str | list[str]], control: str, repeats: int) -> str:
    rows = []
    for name, prompts in conditions.items():
        rows.append(f'    "{name}": {_quoted(prompts) if isinstance(prompts, str) else _listed(prompts, 8)},')
    body = "\n".join(rows)
    return f'result = tools.measure({{\n{body}\n}}, control="{control}", repeats={repeats})'


def _listed(texts: Sequence[str], indent: int = 4) -> str:
    """A list of strings over as few lines as fit."""
    pad = " " * indent
    lines = textwrap.wrap(
        # Spaces inside of the strings must survive the wrapping.
        " ".join(_quoted(text).replace(" ", "\0") + "," for text in texts),
        width=88,
        initial_indent=pad,
        subsequent_indent=pad,
        break_long_words=False,
        break_on_hyphens=False,
    )
    body = "\n".join(lines).replace("\0", " ")
    return f"[\n{body}\n{pad[4:]}]"


def _quoted(text: str) -> str:
    return f'"{text}"'


def _cycle(words: Sequence[str], count: int) -> list[str]:
    return [words[at % len(words)] for at in range(count)]
