"""The wire to a model: what is sent, and what becomes of strange answers."""

from __future__ import annotations

import pytest

from maia_kernel.driver.messages import Image, Message, Text
from maia_kernel.driver.vlm import OpenAIVLM, ScriptedVLM, choose
from maia_kernel.errors import UsageError, VLMError

QUESTION = [
    Message("system", (Text("be a scientist"),)),
    Message("user", (Text("look"), Image("QUJD"), Text("and say"))),
]


def test_the_offline_experimenter_needs_nothing():
    assert choose("offline", None, {}).name == "offline"


def test_a_model_without_a_key_is_a_wrong_call():
    with pytest.raises(UsageError, match="OPENAI_API_KEY"):
        choose("some-model", None, {})


def test_a_local_server_needs_no_key():
    assert choose("some-model", "http://127.0.0.1:1/v1", {}).name == "some-model"
    assert choose("some-model", None, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).name == "some-model"


def test_pictures_travel_as_data_urls_in_user_messages_and_nothing_else_is_sent(chat_server):
    chat_server.answer("fine", usage={"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})
    reply = choose("m", chat_server.url, {}).reply(QUESTION)
    assert (reply.text, reply.finish_reason) == ("fine", "stop")
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 2}
    (body,) = chat_server.requests
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "be a scientist"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
                    {"type": "text", "text": "and say"},
                ],
            },
        ],
    }


@pytest.mark.parametrize(
    ("status", "kind", "text", "says"),
    [
        (401, "application/json", '{"error": {"message": "bad key"}}', "answered 401"),
        (404, "application/json", '{"error": {"message": "no such model"}}', "no such model"),
        (200, "text/html", "<html>proxy</html>", "not a chat completion"),
        (200, "application/json", '{"choices": []}', "not a chat completion"),
        (200, "application/json", '{"choices": [{"mess', "not a chat completion"),
        (200, "application/json", '{"choices": [{"index": 0, "message": null}]}', "not a chat completion"),
        (200, "application/json", '{"choices": {"a": 1}}', "not a chat completion"),
    ],
)
def test_answers_that_are_none_end_in_one_line(chat_server, status, kind, text, says):
    chat_server.answer_raw(status, kind, text)
    with pytest.raises(VLMError, match=says) as caught:
        choose("m", chat_server.url, {}).reply(QUESTION)
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there(chat_server):
    vlm = OpenAIVLM("m", base_url=chat_server.url, api_key="k", retries=0)
    chat_server.close()
    with pytest.raises(VLMError, match="no answer from"):
        vlm.reply(QUESTION)


def test_a_reply_without_text_is_empty_and_without_usage_uncounted(chat_server):
    choice = '{"index": 0, "message": {"role": "assistant", "content": null}, "finish_reason": "stop"}'
    body = f'{{"choices": [{choice}], "usage": null}}'
    chat_server.answer_raw(200, "application/json", body)
    reply = choose("m", chat_server.url, {}).reply(QUESTION)
    assert (reply.text, reply.usage) == ("", {})


@pytest.mark.parametrize("url", ["::bad", "http://", "ftp://x/v1", "http://[::1/v1"])
def test_an_address_that_is_none(url):
    with pytest.raises(UsageError, match="--base-url"):
        choose("m", url, {})


def test_neither_a_password_nor_a_path_is_shown():
    vlm = OpenAIVLM("/somewhere/models/llava", base_url="http://user:word@127.0.0.1:1/v1", api_key="k")
    assert vlm.endpoint == "http://127.0.0.1:1/v1/"
    assert vlm.name == "llava"


def test_a_script_answers_in_order_and_then_fails():
    script = ScriptedVLM(["one"])
    script.enqueue("two")
    assert [script.reply(QUESTION).text, script.reply(QUESTION).text] == ["one", "two"]
    with pytest.raises(VLMError):
        script.reply(QUESTION)
    assert script.requests == [QUESTION, QUESTION, QUESTION]
