"""The client, with threads and with asyncio."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from openai import AsyncOpenAI, OpenAI

from . import _steps as steps
from ._endpoints import Endpoint
from ._gather import Outcomes, agather, bar_of, gather, options_of
from ._jobs import AsyncJob, Job
from ._options import Options, headers_of
from ._run import arun, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self, Unpack

    from ._requests import Request

T = TypeVar("T")
Client = TypeVar("Client", OpenAI, AsyncOpenAI)

_VIRTUAL_KEY = "x-bf-vk"


def _settings(base_url: str | None, api_key: str | None, virtual_key: str | None) -> dict[str, Any]:
    url = base_url or os.environ.get("HERMOD_URL") or "http://localhost:8080"
    virtual_key = virtual_key or os.environ.get("HERMOD_VIRTUAL_KEY")
    return {
        "base_url": f"{url.rstrip('/')}/v1/async",
        # Never the key of OPENAI_API_KEY, which is not Hermod's to see.
        "api_key": api_key or "unused",
        "default_headers": {_VIRTUAL_KEY: virtual_key} if virtual_key else {},
    }


def _of_key(client: Client, options: Options) -> Client:
    """Make a client with the virtual key of the options; it has the same connections."""
    key = options.get("virtual_key")
    return client.with_options(default_headers={_VIRTUAL_KEY: key}) if key else client


def _checked(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit: expected at least 1, and not {limit}")
    return limit


class Hermod:
    """A client of Hermod, in a program with threads. It may be used by several at once."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        virtual_key: str | None = None,
        max_retries: int = 2,
        client: OpenAI | None = None,
    ) -> None:
        """Make a client.

        `base_url` is where the API is: `HERMOD_URL`, or `http://localhost:8080`, by default. `virtual_key` is
        `HERMOD_VIRTUAL_KEY` by default. `api_key` is a bearer token for whoever stands before the API. `client` has
        settings of your own, such as proxies; its address and key are not used.
        """
        settings = _settings(base_url, api_key, virtual_key)
        self._client = client.with_options(**settings) if client else OpenAI(**settings, max_retries=max_retries)

    def submit(self, request: Request[T], **options: Unpack[Options]) -> Job[T]:
        """Submit a request. Its job is safe as soon as this returns."""
        client = _of_key(self._client, options)
        look = run(client, steps.submit(request, headers_of(options), hold=None))
        return Job(client, request.endpoint, look.view.id, look)

    def complete(self, request: Request[T], *, timeout: float | None = None, **options: Unpack[Options]) -> T:
        """Submit a request, wait for the end of its job, and return the result.

        Raises `JobFailedError` if the job has failed, and `WaitTimeoutError` after `timeout` seconds: the job goes on,
        and `Hermod.job` waits for it again.
        """
        return run(_of_key(self._client, options), steps.complete(request, headers_of(options), timeout))

    @overload
    def job(self, job_id: str, endpoint: Endpoint[T], *, virtual_key: str | None = None) -> Job[T]: ...
    @overload
    def job(self, job_id: str, endpoint: str, *, virtual_key: str | None = None) -> Job[Any]: ...
    def job(self, job_id: str, endpoint: Endpoint[T] | str, *, virtual_key: str | None = None) -> Job[Any]:
        """Make the handle of a job that was submitted before, by its id and endpoint; nothing is asked."""
        client = _of_key(self._client, {"virtual_key": virtual_key} if virtual_key else {})
        return Job(client, Endpoint.of(endpoint) if isinstance(endpoint, str) else endpoint, job_id)

    @overload
    def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool = ...,
        timeout: float | None = ...,
        **options: Unpack[Options],
    ) -> list[T]: ...
    @overload
    def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = ...,
        return_exceptions: bool,
        progress: bool = ...,
        timeout: float | None = ...,
        **options: Unpack[Options],
    ) -> list[T | Exception]: ...
    def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = 32,
        return_exceptions: bool = False,
        progress: bool = False,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> list[Any]:
        """Complete many requests, `limit` at a time; the results are in the order of the requests.

        With `return_exceptions` an error stands in the place of its result, and the others go on. Without, the first
        error is raised, no more is submitted, and the jobs that run go on by themselves. `progress` draws a bar, which
        needs tqdm. `timeout` is for each request. With an `idempotency_key` the request at place N has `key/N`: a
        program that is started again with the same requests goes on with the same jobs.
        """
        outcomes = Outcomes(requests, keep_errors=return_exceptions)
        with bar_of(requests, progress) as bar:
            return gather(
                lambda request, number: self.complete(request, timeout=timeout, **options_of(options, number)),
                outcomes,
                _checked(limit),
                bar,
            )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def __enter__(self) -> Self:
        """Use it in `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close its connections."""
        self.close()


class AsyncHermod:
    """A client of Hermod, in a program with asyncio."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        virtual_key: str | None = None,
        max_retries: int = 2,
        client: AsyncOpenAI | None = None,
    ) -> None:
        """As `Hermod`."""
        settings = _settings(base_url, api_key, virtual_key)
        self._client = client.with_options(**settings) if client else AsyncOpenAI(**settings, max_retries=max_retries)

    async def submit(self, request: Request[T], **options: Unpack[Options]) -> AsyncJob[T]:
        """As `Hermod.submit`."""
        client = _of_key(self._client, options)
        look = await arun(client, steps.submit(request, headers_of(options), hold=None))
        return AsyncJob(client, request.endpoint, look.view.id, look)

    async def complete(
        self,
        request: Request[T],
        *,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> T:
        """As `Hermod.complete`."""
        client = _of_key(self._client, options)
        return await arun(client, steps.complete(request, headers_of(options), timeout))

    @overload
    def job(self, job_id: str, endpoint: Endpoint[T], *, virtual_key: str | None = None) -> AsyncJob[T]: ...
    @overload
    def job(self, job_id: str, endpoint: str, *, virtual_key: str | None = None) -> AsyncJob[Any]: ...
    def job(self, job_id: str, endpoint: Endpoint[T] | str, *, virtual_key: str | None = None) -> AsyncJob[Any]:
        """As `Hermod.job`."""
        client = _of_key(self._client, {"virtual_key": virtual_key} if virtual_key else {})
        return AsyncJob(client, Endpoint.of(endpoint) if isinstance(endpoint, str) else endpoint, job_id)

    @overload
    async def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool = ...,
        timeout: float | None = ...,
        **options: Unpack[Options],
    ) -> list[T]: ...
    @overload
    async def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = ...,
        return_exceptions: bool,
        progress: bool = ...,
        timeout: float | None = ...,
        **options: Unpack[Options],
    ) -> list[T | Exception]: ...
    async def gather(
        self,
        requests: Iterable[Request[T]],
        *,
        limit: int = 32,
        return_exceptions: bool = False,
        progress: bool = False,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> list[Any]:
        """As `Hermod.gather`; the first error cancels the waits for the others, and their jobs go on."""
        outcomes = Outcomes(requests, keep_errors=return_exceptions)
        with bar_of(requests, progress) as bar:
            return await agather(
                lambda request, number: self.complete(request, timeout=timeout, **options_of(options, number)),
                outcomes,
                _checked(limit),
                bar,
            )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        """Use it in `async with`."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its connections."""
        await self.close()
