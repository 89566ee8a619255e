"""Two agents that a bench must tell from a good one: one never doubts, one stops early. Both speak the Protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.offline import evidence, experiments
from maia_kernel.driver.offline.phrases import prompt
from maia_kernel.driver.offline.reasoning import Plan


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
            picture = prompt({seen.family(word): word})
            code = f"print(system.call_neuron(tools.text2image(['{picture}']))[0])"
            return Reply(f"I think it is {word}.\n\n```python\n{code}\n```")
        return Reply(f"[DESCRIPTION]: As I thought.\n[LABEL 1]: {word} (turn 2; confidence 0.95)")


class Stopper:
    """Draws one picture of every word, and concludes the strongest."""

    name = "stopper"
    about = "stops after one experiment"

    def reply(self, messages: Sequence[Message]) -> Reply:
        seen = evidence.read(messages)
        if not seen.screen:
            words = {word: prompt({family: word}) for family, several in seen.vocabulary.items() for word in several}
            return Reply(
                f"```python\nprompts = {list(words.values())!r}\n"
                "activations, _ = system.call_neuron(tools.text2image(prompts))\n"
                "for activation, prompt in zip(activations, prompts):\n    print(f'{activation:9.3f}  {prompt}')\n```"
            )
        _, strongest = max(seen.screen, key=lambda one: one[0])
        return Reply(
            f"[DESCRIPTION]: The strongest.\n[LABEL 1]: {' '.join(sorted(strongest))} (turn 1; confidence 0.9)"
        )
