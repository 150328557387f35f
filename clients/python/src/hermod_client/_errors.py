"""What is raised when a job fails. What the API refuses raises the OpenAI SDK's own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openai

if TYPE_CHECKING:
    import httpx2

    from ._views import Attempt

CANCELLED = 499


class JobFailedError(openai.APIStatusError):
    """A job has ended without a result. `code`, `type`, `param` and `body` are those of its error.

    One that has failed with 429 is an `openai.RateLimitError` besides, and so on for each status that the SDK has a
    class for.
    """

    job_id: str
    endpoint: str
    attempts: list[Attempt]
    """What was tried."""

    def __init__(
        self,
        message: str,
        *,
        response: httpx2.Response,
        body: object | None,
        status_code: int,
        job: tuple[str, str],
        attempts: list[Attempt],
    ) -> None:
        """Describe the end of a job; the answer that told of it has status 200."""
        super().__init__(message, response=response, body=body)
        self.status_code = status_code
        self.endpoint, self.job_id = job
        self.attempts = attempts


class JobCancelledError(JobFailedError):
    """A job was cancelled."""


class WaitTimeoutError(TimeoutError):
    """A job has not ended in the time that `wait` was given. It goes on, and can be waited for again."""

    job_id: str
    endpoint: str

    def __init__(self, timeout: float, *, job: tuple[str, str]) -> None:
        """Name the job, for the next wait."""
        self.endpoint, self.job_id = job
        super().__init__(f"job {self.job_id} of {self.endpoint} has not ended after {timeout:g} s")


class JobBadRequestError(openai.BadRequestError, JobFailedError):
    pass


class JobAuthenticationError(openai.AuthenticationError, JobFailedError):
    pass


class JobPermissionDeniedError(openai.PermissionDeniedError, JobFailedError):
    pass


class JobNotFoundError(openai.NotFoundError, JobFailedError):
    pass


class JobConflictError(openai.ConflictError, JobFailedError):
    pass


class JobUnprocessableEntityError(openai.UnprocessableEntityError, JobFailedError):
    pass


class JobRateLimitError(openai.RateLimitError, JobFailedError):
    pass


class JobInternalServerError(openai.InternalServerError, JobFailedError):
    pass


_CLASSES: dict[int, type[JobFailedError]] = {
    400: JobBadRequestError,
    401: JobAuthenticationError,
    403: JobPermissionDeniedError,
    404: JobNotFoundError,
    409: JobConflictError,
    422: JobUnprocessableEntityError,
    429: JobRateLimitError,
    CANCELLED: JobCancelledError,
}


def class_of(status_code: int) -> type[JobFailedError]:
    """Choose the class for a job's status code."""
    if status_code >= 500:
        return JobInternalServerError
    return _CLASSES.get(status_code, JobFailedError)
