"""Many requests."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from conftest import KEYS
from openai.types.chat import ChatCompletion
from test_jobs import jobs_of

from hermod_client import AsyncHermod, Hermod, JobFailedError, Request, chat


def ask(text: str, model: str = "demo/echo") -> Request[ChatCompletion]:
    return chat(model=model, messages=[{"role": "user", "content": text}])


def text(completion: ChatCompletion | Exception) -> str | None:
    assert isinstance(completion, ChatCompletion), completion
    return completion.choices[0].message.content


REQUESTS = [ask(str(number), "demo/echo" if number % 2 else "demo/slow-300ms") for number in range(12)]
TEXTS = [str(number) for number in range(12)]


def test_results_are_in_order_and_requests_bounded(hermod: Hermod, url: str) -> None:
    assert [text(result) for result in hermod.gather(REQUESTS)] == TEXTS
    began = time.monotonic()
    hermod.gather([ask("x", "demo/slow-300ms")] * 6, limit=2)
    assert time.monotonic() - began >= 0.9

    async def main() -> None:
        async with AsyncHermod(url) as another:
            assert [text(result) for result in await another.gather(REQUESTS)] == TEXTS
            began = time.monotonic()
            await another.gather([ask("x", "demo/slow-300ms")] * 6, limit=2)
            assert time.monotonic() - began >= 0.9
            assert await another.gather([]) == []

    asyncio.run(main())
    assert hermod.gather([]) == []
    with pytest.raises(ValueError, match="limit: expected at least 1"):
        hermod.gather(REQUESTS, limit=0)


def test_an_error_stands_in_the_place_of_its_result(hermod: Hermod, url: str) -> None:
    requests = [ask("0"), ask("1", "demo/fail-400"), ask("2", "nobody/x"), ask("3")]

    async def main() -> list[ChatCompletion | Exception]:
        async with AsyncHermod(url) as another:
            return await another.gather(requests, return_exceptions=True, timeout=60)

    for results in (hermod.gather(requests, return_exceptions=True), asyncio.run(main())):
        assert isinstance(results[1], JobFailedError)
        assert isinstance(results[2], openai.BadRequestError)
        assert [text(results[0]), text(results[3])] == ["0", "3"]


def test_the_first_error_ends_all_where_none_is_returned(hermod: Hermod, url: str) -> None:
    taken: list[int] = []

    def requests() -> Iterator[Request[ChatCompletion]]:
        for number in range(1000):
            taken.append(number)
            yield ask(str(number), "demo/fail-400" if number == 1 else "demo/slow-300ms")

    async def main() -> None:
        async with AsyncHermod(url) as another:
            await another.gather(requests(), limit=2)

    for run in (lambda: hermod.gather(requests(), limit=2), lambda: asyncio.run(main())):
        taken.clear()
        with pytest.raises(openai.BadRequestError):
            run()
        assert len(taken) < 100


def test_an_error_of_the_requests_is_raised(hermod: Hermod) -> None:
    def requests() -> Iterator[Request[ChatCompletion]]:
        yield ask("x")
        raise KeyError("from the program")

    with pytest.raises(KeyError, match="from the program"):
        hermod.gather(requests(), return_exceptions=True)


def test_a_program_that_starts_again_goes_on_with_its_jobs(url: str) -> None:
    key = f"night-{time.time_ns()}"
    with Hermod(url, virtual_key=KEYS[1]) as hermod:
        before = len(jobs_of(url, KEYS[1]))
        first = hermod.gather(REQUESTS[:5], idempotency_key=key)
        again = hermod.gather(REQUESTS[:7], idempotency_key=key)
    assert [result.id for result in first] == [result.id for result in again[:5]]
    assert len(jobs_of(url, KEYS[1])) == before + 7


def test_progress_is_drawn_with_tqdm(
    hermod: Hermod, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hermod.gather(REQUESTS[:4], progress=True)
    assert "4/4" in capsys.readouterr().err
    modules: Any = sys.modules
    monkeypatch.setitem(modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install 'hermod-client\[progress\]'"):
        hermod.gather(REQUESTS[:4], progress=True)
