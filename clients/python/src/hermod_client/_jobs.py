"""Handles of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from . import _steps as steps
from ._run import arun, run

if TYPE_CHECKING:
    from openai import AsyncOpenAI, HttpxBinaryResponseContent, OpenAI

    from ._endpoints import Endpoint
    from ._views import Attempt, JobStatus

T = TypeVar("T")


class _Handle(Generic[T]):
    """A job: `id` and `endpoint` are all that has to be kept of it."""

    def __init__(self, endpoint: Endpoint[T], job_id: str, look: steps.Look | None = None) -> None:
        self._endpoint = endpoint
        self._look = look
        self.id = job_id

    @property
    def endpoint(self) -> str:
        """The path of its endpoint, such as `chat/completions`."""
        return self._endpoint.path

    def __repr__(self) -> str:
        status = self._look.view.status if self._look else "not looked at yet"
        return f"<{type(self).__name__} {self.endpoint}/{self.id}: {status}>"

    def _waited(self, timeout: float | None) -> steps.Steps[T]:
        self._look = yield from steps.wait(self._endpoint, self.id, self._look, timeout)
        return (yield from steps.result(self._endpoint, self._look))

    def _seen(self) -> steps.Steps[steps.Look]:
        if self._look is None or not self._look.view.has_ended:
            self._look = yield from steps.poll(self._endpoint, self.id)
        return self._look

    def _status(self) -> steps.Steps[JobStatus]:
        look = yield from self._seen()
        return look.view.status

    def _attempts(self) -> steps.Steps[list[Attempt]]:
        look = yield from self._seen()
        return steps.attempts(look.view)

    def _cancelled(self) -> steps.Steps[bool]:
        return steps.cancel(self._endpoint, self.id)

    def _content(self, index: int | None) -> steps.Steps[HttpxBinaryResponseContent]:
        return steps.content(self._endpoint, self.id, index)


class Job(_Handle[T]):
    """A job, in a program with threads. `Hermod.job(id, endpoint)` makes its handle again."""

    def __init__(self, client: OpenAI, endpoint: Endpoint[T], job_id: str, look: steps.Look | None = None) -> None:
        """Make a handle; nothing is asked."""
        super().__init__(endpoint, job_id, look)
        self._client = client

    def wait(self, timeout: float | None = None) -> T:
        """Wait for the end, and return the result.

        Raises `JobFailedError` if the job has failed, and `WaitTimeoutError` after `timeout` seconds: the job goes on.
        """
        return run(self._client, self._waited(timeout))

    def status(self) -> JobStatus:
        """Look where in its life it is."""
        return run(self._client, self._status())

    def attempts(self) -> list[Attempt]:
        """Look what was tried; nothing as long as the job has not ended."""
        return run(self._client, self._attempts())

    def cancel(self) -> bool:
        """Cancel it: true if it has ended by that, false if it runs, and ends within about a second.

        Raises `openai.ConflictError` if it has ended by itself.
        """
        return run(self._client, self._cancelled())

    def content(self, index: int | None = None) -> HttpxBinaryResponseContent:
        """Read the bytes of its audio, transcript or image; of several images the one at `index`, from 0."""
        return run(self._client, self._content(index))


class AsyncJob(_Handle[T]):
    """A job, in a program with asyncio. `AsyncHermod.job(id, endpoint)` makes its handle again."""

    def __init__(self, client: AsyncOpenAI, endpoint: Endpoint[T], job_id: str, look: steps.Look | None = None) -> None:
        """Make a handle; nothing is asked."""
        super().__init__(endpoint, job_id, look)
        self._client = client

    async def wait(self, timeout: float | None = None) -> T:
        """As `Job.wait`."""
        return await arun(self._client, self._waited(timeout))

    async def status(self) -> JobStatus:
        """As `Job.status`."""
        return await arun(self._client, self._status())

    async def attempts(self) -> list[Attempt]:
        """As `Job.attempts`."""
        return await arun(self._client, self._attempts())

    async def cancel(self) -> bool:
        """As `Job.cancel`."""
        return await arun(self._client, self._cancelled())

    async def content(self, index: int | None = None) -> HttpxBinaryResponseContent:
        """As `Job.content`."""
        return await arun(self._client, self._content(index))
