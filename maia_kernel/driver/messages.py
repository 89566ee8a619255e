"""What is said between the notebook and a vision-language model: frozen values, and their form on the wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """A piece of text of a message."""

    text: str


@dataclass(frozen=True)
class Image:
    """A picture of a message.

    Attributes
    ----------
    data : str
        The encoded picture in base64, without line breaks.
    mime : str
        ``image/png`` or ``image/jpeg``.
    """

    data: str
    mime: str = "image/png"


Part = Text | Image


@dataclass(frozen=True)
class Message:
    """One message of the conversation; its parts stand in reading order."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All text of the message, without its pictures."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    def wire(self) -> dict[str, Any]:
        """The message as an entry of ``messages`` in OpenAI's chat.completions.

        A message of text alone is sent as a string, which every compatible server accepts; pictures travel as data
        URLs, which only user messages may hold.
        """
        if all(isinstance(part, Text) for part in self.parts):
            return {"role": self.role, "content": self.text}
        return {"role": self.role, "content": [_wire_part(part) for part in self.parts]}


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes
    ----------
    text : str
        The reply, as it came.
    finish_reason : str or None
        Why the model stopped ("stop", "length", …).
    usage : dict
        Tokens as the server counted them (``prompt_tokens``, ``completion_tokens``); empty where it does not count.
    """

    text: str
    finish_reason: str | None = "stop"
    usage: dict[str, int] = field(default_factory=dict)


def merge(messages: Iterable[Message]) -> list[Message]:
    """Join neighbours of one role, and neighbouring texts within a message: chat templates insist on alternation."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = Message(message.role, _join(merged[-1].parts + message.parts))
        else:
            merged.append(Message(message.role, _join(message.parts)))
    return merged


def _join(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and joined and isinstance(joined[-1], Text):
            joined[-1] = Text(f"{joined[-1].text}\n\n{part.text}")
        else:
            joined.append(part)
    return tuple(joined)


def _wire_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": f"data:{part.mime};base64,{part.data}"}}
