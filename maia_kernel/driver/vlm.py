"""The vision-language model behind one small Protocol: an OpenAI-compatible endpoint, or a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Protocol

from maia_kernel.driver.messages import Message, Reply
from maia_kernel.errors import UsageError, VLMError

OFFLINE = "offline"


class VLM(Protocol):
    """Anything that answers a conversation."""

    @property
    def name(self) -> str:
        """What ``--agent`` calls it."""
        ...

    @property
    def about(self) -> str:
        """What it is, for the notebook's header."""
        ...

    def reply(self, messages: Sequence[Message]) -> Reply:
        """Answer.

        Raises
        ------
        VLMError
            No usable reply can be had; the run ends, its notebook stays.
        """
        ...


def choose(agent: str, base_url: str | None, environ: Mapping[str, str]) -> VLM:
    """The agent of that name: ``offline``, or a model at an OpenAI-compatible endpoint.

    Raises
    ------
    UsageError
        No key is set and the endpoint is OpenAI's own.
    """
    if agent == OFFLINE:
        from maia_kernel.driver.offline import OfflineExperimenter

        return OfflineExperimenter()
    url = base_url or environ.get("OPENAI_BASE_URL") or None
    key = environ.get("OPENAI_API_KEY")
    if not key and not url:
        raise UsageError(
            f"the agent '{agent}' needs a key: set OPENAI_API_KEY, or name a server with --base-url, "
            "or use --agent offline"
        )
    # Local servers want no key, but the client insists on one.
    return OpenAIVLM(agent, base_url=url, api_key=key or "none")


class OpenAIVLM:
    """A model behind OpenAI's chat.completions, or any server that speaks it.

    Nothing is sent but the model's name and the messages. Connection errors, 429 and 5xx are retried by the client.

    Parameters
    ----------
    model : str
        The model's name at the server.
    base_url : str or None
        The server; None for OpenAI's own.
    api_key : str
        The key; it never reaches the kernel or the notebook.
    timeout : float
        Seconds that one request may take.
    retries : int
        How often a request is tried again.
    """

    def __init__(self, model: str, *, base_url: str | None, api_key: str, timeout: float = 600.0, retries: int = 4):
        import openai

        if base_url is not None and not re.match(r"https?://[^/]", base_url):
            raise UsageError(f"--base-url {base_url} is not a URL such as http://127.0.0.1:8000/v1")
        if not (api_key.isascii() and api_key.isprintable()):
            raise UsageError("OPENAI_API_KEY holds a character that no key has; was it copied with something else?")
        self._model = model
        try:
            self._client = openai.OpenAI(base_url=base_url, api_key=api_key, timeout=timeout, max_retries=retries)
        except Exception as error:  # the HTTP library's own kinds of "not a URL"
            raise UsageError(f"--base-url {base_url} cannot be used: {_one_line(str(error))}") from error

    about = "a vision-language model behind an OpenAI-compatible endpoint"

    @property
    def name(self) -> str:
        # A local server may want a folder's path as the model's name; no path of a machine goes into a notebook.
        return PurePath(self._model).name if PurePath(self._model).is_absolute() else self._model

    @property
    def endpoint(self) -> str:
        """Where the pictures are sent, without the password that a URL may hold."""
        return re.sub(r"//[^/@]*@", "//", str(self._client.base_url))

    def reply(self, messages: Sequence[Message]) -> Reply:
        import openai

        wire: Any = [message.wire() for message in messages]
        try:
            answer: Any = self._client.chat.completions.create(model=self._model, messages=wire)
        except openai.APIStatusError as error:
            raise VLMError(f"{self.endpoint} answered {error.status_code}: {_one_line(error.message)}") from error
        except openai.OpenAIError as error:
            raise VLMError(f"no answer from {self.endpoint}: {_one_line(str(error))}") from error
        except ValueError as error:  # a body that is not JSON
            raise VLMError(f"{self.endpoint} answered with something that is not a chat completion") from error
        # A server that is not one (a proxy's HTML page) comes back as a bare string, and fields may be of any kind.
        try:
            choice = answer.choices[0]
            text = choice.message.content or getattr(choice.message, "refusal", None) or ""
            if isinstance(text, list):
                text = "".join(part.get("text") or "" for part in text)
            return Reply(str(text), choice.finish_reason, _usage(getattr(answer, "usage", None)))
        except (AttributeError, TypeError, KeyError, IndexError) as error:
            raise VLMError(f"{self.endpoint} answered with something that is not a chat completion") from error


class ScriptedVLM:
    """Answers from a list: for tests, and for replaying a recorded conversation.

    Parameters
    ----------
    replies : sequence of str or Reply
        What it answers, in order.

    Attributes
    ----------
    requests : list of list of Message
        What it was sent.
    """

    name = "scripted"
    about = "a fixed list of replies"

    def __init__(self, replies: Sequence[str | Reply] = ()):
        self._replies = [Reply(reply) if isinstance(reply, str) else reply for reply in replies]
        self.requests: list[list[Message]] = []

    @classmethod
    def replaying(cls, conversation: Sequence[Message]) -> ScriptedVLM:
        """A script of everything that the assistant said in a conversation."""
        return cls([message.text for message in conversation if message.role == "assistant"])

    def enqueue(self, reply: str | Reply) -> None:
        """Add one more answer."""
        self._replies.append(Reply(reply) if isinstance(reply, str) else reply)

    def reply(self, messages: Sequence[Message]) -> Reply:
        self.requests.append(list(messages))
        if not self._replies:
            raise VLMError("the script has no further reply")
        return self._replies.pop(0)


def _usage(usage: Any) -> dict[str, int]:
    counts = {name: getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _one_line(text: str, most: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most] + " …"
