"""Each endpoint gives the OpenAI SDK's own type, with threads and with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import HttpxBinaryResponseContent
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

import hermod_client as client
from hermod_client import AsyncHermod, Hermod, Request

ECHO = "demo/echo"
ASK: Any = [{"role": "user", "content": "Hello"}]
DOCUMENT = {"type": "document_url", "document_url": "https://x.example/a.pdf"}

CALLS: list[tuple[Request[Any], type[Any], Callable[[Any], object], object]] = [
    (client.chat(model=ECHO, messages=ASK), ChatCompletion, lambda it: it.choices[0].message.content, "Hello"),
    (client.responses(model=ECHO, input="Hello"), Response, lambda it: it.output_text, "Hello"),
    (client.completion(model=ECHO, prompt="Hello"), Completion, lambda it: it.choices[0].text, "Hello"),
    (
        client.embeddings(model=ECHO, input=["one", "two"]),
        CreateEmbeddingResponse,
        lambda it: [len(vector.embedding) for vector in it.data],
        [8, 8],
    ),
    (
        client.speech(model=ECHO, input="Hello", voice="alloy", response_format="wav"),
        HttpxBinaryResponseContent,
        lambda it: it.content[:4],
        b"RIFF",
    ),
    (
        client.transcription(model=ECHO, file=("talk.mp3", b"x" * 1000)),
        Transcription,
        lambda it: it.text,
        "a recording of 1000 bytes named talk.mp3",
    ),
    (client.image(model=ECHO, prompt="a cat", n=2), ImagesResponse, lambda it: len(it.data), 2),
    (
        client.image_edit(model=ECHO, image=[("a.png", b"one"), ("b.png", b"two")], mask=b"mask", prompt="red"),
        ImagesResponse,
        lambda it: len(it.data),
        1,
    ),
    (client.image_variation(model=ECHO, image=b"one", n=2), ImagesResponse, lambda it: len(it.data), 2),
    (
        client.rerank(model=ECHO, query="red apple", documents=["a pear", "an apple"]),
        dict,
        lambda it: [row["index"] for row in it["results"]],
        [1, 0],
    ),
    (client.ocr(model=ECHO, document=DOCUMENT), dict, lambda it: it["pages"][0]["markdown"][:7], "# a.pdf"),
]
NAMES = [call[0].endpoint.path for call in CALLS]


@pytest.mark.parametrize(("request_", "kind", "read", "expected"), CALLS, ids=NAMES)
def test_a_call_is_answered_with_the_sdks_type(
    hermod: Hermod, request_: Request[Any], kind: type[Any], read: Callable[[Any], object], expected: object
) -> None:
    result = hermod.complete(request_, timeout=60)
    assert isinstance(result, kind)
    assert read(result) == expected


def test_the_same_with_asyncio(url: str) -> None:
    async def main() -> list[Any]:
        async with AsyncHermod(url) as hermod:
            jobs = [await hermod.submit(request) for request, *_ in CALLS]
            results = await asyncio.gather(*(job.wait(60) for job in jobs))
            assert [await job.status() for job in jobs] == ["completed"] * len(jobs)
            assert [len(await job.attempts()) for job in jobs] == [1] * len(jobs)
            return results

    for result, (_, kind, read, expected) in zip(asyncio.run(main()), CALLS, strict=True):
        assert isinstance(result, kind)
        assert read(result) == expected


def test_fallbacks_and_other_members_go_along(hermod: Hermod) -> None:
    chat = client.chat(model="demo/fail-503", messages=ASK, fallbacks=[ECHO], extra_body={"n": 2})
    job = hermod.submit(chat)
    assert [choice.message.content for choice in job.wait(60).choices] == ["Hello", "Hello"]
    assert [attempt.target for attempt in job.attempts()][-1] == ECHO
    assert job.attempts()[0].status == 503
    form = client.transcription(model="demo/fail-503", file=("a.mp3", b"x"), fallbacks=[ECHO])
    assert hermod.complete(form).text.endswith("a.mp3")


def test_files_are_read_when_the_request_is_made(hermod: Hermod, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp3"
    path.write_bytes(b"x" * 300_000)
    with path.open("rb") as file:
        opened = client.transcription(model=ECHO, file=file)
    named = client.transcription(model=ECHO, file=path)
    path.unlink()
    expected = "a recording of 300000 bytes named talk.mp3"
    assert [hermod.complete(opened).text, hermod.complete(named).text] == [expected, expected]


def test_media_are_read_one_by_one(hermod: Hermod) -> None:
    job = hermod.submit(client.image(model=ECHO, prompt="a cat", n=2))
    job.wait(60)
    images = [job.content(index).content for index in (0, 1)]
    assert all(image.startswith(b"\x89PNG") for image in images)
    assert images[0] != images[1]
