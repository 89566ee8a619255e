"""The offline experimenter: rules and a closed vocabulary, no language model, behind the same Protocol as a VLM.

``evidence`` reads what earlier cells printed, ``reasoning`` decides what is to be asked next and what holds,
``writing`` puts it into words and code. All of it is a pure function from messages to the next reply.
"""

from __future__ import annotations

from collections.abc import Sequence

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.driver.offline import evidence, reasoning, writing


class OfflineExperimenter:
    """Investigates with fixed rules, in the words that the generator says it can draw.

    It knows no more than the conversation holds: numbers and blind descriptions that its own cells printed. It is a
    test bench for the rest of the program and a baseline for agents, and no evidence about language models.
    """

    name = "offline"
    about = "the offline experimenter: rules, closed vocabulary, no language model"

    def reply(self, messages: Sequence[Message]) -> Reply:
        """The next turn; never raises, and asks for nothing outside the messages."""
        seen = evidence.read(messages)
        return Reply(writing.write(seen, reasoning.decide(seen)))
