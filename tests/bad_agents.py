"""Two agents that a bench must tell from a good one: one never doubts, one stops early. Both speak the Protocol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.offline import evidence, experiments
from maia_kernel.driver.offline.reasoning import Plan

PROMPTS = {"shape": "a {}", "background": "an object on {}", "light": "an object at {}"}


def prompt(family: str, word: str) -> str:
    """A prompt for a word alone."""
    return PROMPTS.get(family, "a {} object").format(word).replace("at day", "by day")


class Confirmer:
    """Takes the most frequent word of the exemplars, draws one picture that supports it, and is sure of it."""

    name = "confirmer"
    about = "always confirms its first hypothesis"

    def reply(self, messages: Sequence[Message]) -> Reply:
        seen = evidence.read(messages)
        turn = sum(message.role == "assistant" for message in messages)
        if turn == 0:
            return Reply(f"```python\n{experiments.code(seen, Plan('exemplars'))}\n```")
        counts = Counter(word for _, words in seen.exemplars for word in sorted(words))
        word = counts.most_common(1)[0][0]
        if turn == 1:
            picture = prompt(seen.family(word), word)
            code = f"print(system.call_neuron(tools.text2image(['{picture}']))[0])"
            return Reply(f"I think it is {word}.\n\n```python\n{code}\n```")
        return Reply(f"[DESCRIPTION]: As I thought.\n[LABEL 1]: {word} (turn 2; confidence 0.95)")


class Stopper:
    """Draws one picture of every word, and concludes the strongest."""

    name = "stopper"
    about = "stops after one experiment"

    def reply(self, messages: Sequence[Message]) -> Reply:
        measured = re.findall(r"^word (\w+): (\S+)$", messages[-1].text, re.MULTILINE)
        if measured:
            word, _ = max(measured, key=lambda one: float(one[1]))
            return Reply(f"[DESCRIPTION]: The strongest.\n[LABEL 1]: {word} (turn 1; confidence 0.9)")
        seen = evidence.read(messages)
        words = {word: prompt(family, word) for family, several in seen.vocabulary.items() for word in several}
        return Reply(
            f"```python\nprompts = {words!r}\n"
            "activations, _ = system.call_neuron(tools.text2image(list(prompts.values())))\n"
            "for word, activation in zip(prompts, activations):\n    print(f'word {word}: {activation:.3f}')\n```"
        )
