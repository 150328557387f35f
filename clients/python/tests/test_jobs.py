"""Handles: waiting, failing, cancelling, resuming; and what is sent."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import openai
import pytest
from conftest import KEYS, Proxy
from openai import OpenAI

from hermod_client import (
    CHAT,
    AsyncHermod,
    Hermod,
    JobCancelledError,
    JobFailedError,
    Request,
    WaitTimeoutError,
    chat,
    transcription,
)

ASK: Any = [{"role": "user", "content": "Hello"}]
ECHO = chat(model="demo/echo", messages=ASK)
SLOW = chat(model="demo/slow-1s", messages=ASK)
HANG = chat(model="demo/hang", messages=ASK)


def jobs_of(url: str, key: str) -> list[Any]:
    """All jobs of a virtual key, as the API lists them."""
    client = OpenAI(base_url=f"{url}/v1/async", api_key=key)
    with client:
        page: Any = client.get("/jobs?limit=100", cast_to=object)
    return list(page["data"])


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
    ],
)
def test_a_job_that_fails_raises_the_sdks_error(
    hermod: Hermod, status: int, error: type[openai.APIStatusError]
) -> None:
    job = hermod.submit(chat(model=f"demo/fail-{status}", messages=ASK))
    with pytest.raises(JobFailedError, match=f"failed with {status}: the model fail-{status} fails") as raised:
        job.wait(60)
    assert isinstance(raised.value, error)
    assert (raised.value.status_code, raised.value.job_id) == (status, job.id)
    assert raised.value.attempts[0].target == f"demo/fail-{status}"
    assert raised.value.attempts == job.attempts()
    assert (raised.value.type, job.status()) == ("demo_error", "failed")


def test_a_refused_submit_raises_the_sdks_error(hermod: Hermod) -> None:
    with pytest.raises(openai.BadRequestError, match="is not configured") as raised:
        hermod.submit(chat(model="nobody/x", messages=ASK))
    assert not isinstance(raised.value, JobFailedError)


def test_a_wait_ends_in_time_and_goes_on_elsewhere(hermod: Hermod, url: str) -> None:
    job = hermod.submit(SLOW)
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=r"has not ended after 0.2 s") as raised:
        job.wait(0.2)
    assert time.monotonic() - began < 1
    assert (raised.value.job_id, raised.value.endpoint) == (job.id, "chat/completions")
    with Hermod(url) as another:
        resumed = another.job(job.id, CHAT)
        assert repr(resumed) == f"<Job chat/completions/{job.id}: not looked at yet>"
        assert resumed.wait(60).choices[0].message.content == "Hello"
        by_path = another.job(job.id, job.endpoint)
        assert by_path.wait().choices[0].message.content == "Hello"
        with pytest.raises(openai.NotFoundError):
            another.job(job.id, "ocr").status()
    with pytest.raises(WaitTimeoutError) as of_complete:
        hermod.complete(SLOW, timeout=0.1)
    assert hermod.job(of_complete.value.job_id, CHAT).wait(60)


def test_a_job_is_cancelled(hermod: Hermod) -> None:
    waits = hermod.submit(ECHO, delay=600)
    assert waits.status() == "pending"
    assert waits.attempts() == []
    assert waits.cancel()
    runs = hermod.submit(HANG)
    deadline = time.monotonic() + 60
    while runs.status() != "processing":
        assert time.monotonic() < deadline
    assert not runs.cancel()
    for job in (waits, runs):
        with pytest.raises(JobCancelledError) as raised:
            job.wait(60)
        assert (raised.value.status_code, raised.value.code) == (499, "job_cancelled")
    ended = hermod.submit(ECHO)
    ended.wait(60)
    with pytest.raises(openai.ConflictError, match="has already ended"):
        ended.cancel()


def test_the_same_with_asyncio(url: str) -> None:
    async def main() -> None:
        async with AsyncHermod(url) as hermod:
            job = await hermod.submit(HANG)
            with pytest.raises(WaitTimeoutError):
                await job.wait(0.1)
            await job.cancel()
            with pytest.raises(JobCancelledError):
                await hermod.job(job.id, job.endpoint).wait(60)
            with pytest.raises(openai.RateLimitError):
                await hermod.complete(chat(model="demo/fail-429", messages=ASK))
            slow = await hermod.submit(chat(model="demo/slow-1s", messages=ASK))
            images = hermod.job(slow.id, CHAT)
            assert (await images.wait(60)).choices[0].message.content == "Hello"

    asyncio.run(main())


def test_a_submit_whose_answer_is_lost_makes_one_job(proxy: Proxy, url: str) -> None:
    with Hermod(proxy.url, virtual_key=KEYS[0]) as hermod:
        before = len(jobs_of(url, KEYS[0]))
        upload = transcription(model="demo/echo", file=("a.mp3", b"x" * 100_000))
        requests: list[Request[Any]] = [SLOW, upload]
        for request in requests:
            proxy.losing = 2
            job = hermod.submit(request)
            assert proxy.losing == 0
            listed = jobs_of(url, KEYS[0])
            before += 1
            assert (len(listed), listed[0]["id"]) == (before, job.id)
            proxy.losing = 3
            job.wait(60)
        assert proxy.lost >= 7


def test_two_submits_are_two_jobs_and_with_one_key_they_are_one(hermod: Hermod) -> None:
    assert hermod.submit(ECHO).id != hermod.submit(ECHO).id
    key = f"order-{time.time_ns()}"
    assert hermod.submit(ECHO, idempotency_key=key).id == hermod.submit(ECHO, idempotency_key=key).id
    with pytest.raises(openai.UnprocessableEntityError, match="another request"):
        hermod.submit(SLOW, idempotency_key=key)


def test_options_are_sent_and_refused_by_their_names(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-hermod")
    with Hermod(proxy.url) as hermod:
        hermod.submit(ECHO, ttl=60, priority=1, max_wait=0, delay=1, virtual_key=KEYS[1])
        asked = proxy.asked.lower()
        for header in (
            b"x-bf-async-job-result-ttl: 60",
            b"x-hermod-priority: 1",
            b"x-hermod-max-wait: 0",
            b"x-hermod-delay: 1",
            b"x-bf-vk: sk-bf-second",
            b"idempotency-key: hermod-client-",
        ):
            assert header in asked
        assert b"sk-not-for-hermod" not in proxy.asked
        with pytest.raises(openai.BadRequestError, match="30 days"):
            hermod.submit(ECHO, run_at="2100-01-01T00:00:00Z")
        with pytest.raises(openai.BadRequestError, match="priority"):
            hermod.submit(ECHO, priority=9)
        with pytest.raises(TypeError, match="unknown option 'tll'; there are ttl, "):
            hermod.submit(ECHO, tll=60)  # type: ignore[call-arg]


def test_only_the_key_that_submitted_a_job_sees_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMOD_URL", url)
    monkeypatch.setenv("HERMOD_VIRTUAL_KEY", KEYS[0])
    with Hermod() as first:
        job = first.submit(ECHO)
        of_second = first.submit(ECHO, virtual_key=KEYS[1])
        assert job.wait(60).id != of_second.wait(60).id
        with pytest.raises(openai.NotFoundError):
            first.job(of_second.id, CHAT).status()
        assert first.job(of_second.id, CHAT, virtual_key=KEYS[1]).status() == "completed"
        with pytest.raises(openai.BadRequestError, match="virtual key not found"):
            first.submit(ECHO, virtual_key="sk-bf-nobody")


def test_a_client_of_ones_own_is_used_with_its_settings(url: str) -> None:
    own = OpenAI(api_key="sk-not-for-hermod", max_retries=0, default_headers={"x-bf-async-job-result-ttl": "60"})
    with own, Hermod(url, client=own) as hermod:
        assert hermod.complete(ECHO).choices[0].message.content == "Hello"
