"""What a client does, as generators that ask for calls and pauses: one text for threads and for asyncio."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ._errors import WaitTimeoutError, class_of
from ._views import Attempt, JobView

if TYPE_CHECKING:
    import httpx2

    from ._endpoints import Endpoint
    from ._requests import Request

T = TypeVar("T")

HOLD_SECONDS = 30
"""How long the API is asked to hold an answer back: less than proxies bear."""
ANSWER_SECONDS = 30
"""How long an answer may take beyond that."""
POLL_SECONDS = 0.5
"""The pause between polls where the answer does not say."""
POLL_RETRIES = 8
"""Retries of a poll, which may be repeated as often as one likes: about half a minute for an API that restarts."""


@dataclass(frozen=True)
class Call:
    """A request to the API."""

    method: Literal["get", "post"]
    path: str
    body: object = None
    files: list[tuple[str, object]] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float | None = ANSWER_SECONDS
    """Seconds; none for the SDK's own, as with files."""
    max_retries: int | None = None
    wants_bytes: bool = False


@dataclass(frozen=True)
class Pause:
    """A wait without a request."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """What the API has answered."""

    view: JobView
    response: httpx2.Response


Steps = Generator[Call | Pause, Any, T]


@dataclass
class Look:
    """A job as it was seen last."""

    view: JobView
    response: httpx2.Response
    poll_at: float
    """The time, by the monotonic clock, before which a poll would learn nothing."""


def submit(request: Request[Any], headers: dict[str, str], hold: float | None) -> Steps[Look]:
    """Submit; with `hold` the answer is held back until the job has ended, for so many seconds."""
    asked = time.monotonic()
    seconds, prefer = _prefer(hold)
    files = list(request.files)
    answer: Answer = yield Call(
        "post",
        f"/{request.endpoint.path}",
        body=dict(request.body),
        files=files or None,
        headers={**headers, **prefer, **({"Content-Type": "multipart/form-data"} if files else {})},
        timeout=None if files else seconds + ANSWER_SECONDS,
    )
    return _look(answer, asked)


def poll(endpoint: Endpoint[Any], job_id: str, hold: float | None = None) -> Steps[Look]:
    """Look at a job; with `hold` until it has ended, or so many seconds have passed."""
    asked = time.monotonic()
    seconds, prefer = _prefer(hold)
    answer: Answer = yield Call(
        "get",
        f"/{endpoint.path}/{job_id}",
        headers=prefer,
        timeout=seconds + ANSWER_SECONDS,
        max_retries=POLL_RETRIES,
    )
    return _look(answer, asked)


def wait(endpoint: Endpoint[Any], job_id: str, look: Look | None, timeout: float | None) -> Steps[Look]:
    """Wait for the end of a job, and be told of it at once."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while look is None or not look.view.has_ended:
        if look is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeoutError(timeout or 0, job=(endpoint.path, job_id))
            pause = min(look.poll_at - time.monotonic(), left)
            if pause > 0:
                yield Pause(pause)
        # At least a look without a wait.
        hold = min(HOLD_SECONDS, max(deadline - time.monotonic(), 0))
        look = yield from poll(endpoint, job_id, hold)
    return look


def result(endpoint: Endpoint[T], look: Look) -> Steps[T]:
    """Read the result of a job that has ended, or raise what failed it."""
    view = look.view
    if view.status == "failed":
        error = view.error if isinstance(view.error, dict) else {}
        body = error.get("error")
        message = body.get("message") if isinstance(body, dict) else None
        status_code = view.status_code or 0
        raise class_of(status_code)(
            f"job {view.id} failed with {status_code}: {message or 'no message'}",
            response=look.response,
            body=body,
            status_code=status_code,
            job=(endpoint.path, view.id),
            attempts=attempts(view),
        )
    if endpoint.answers_with_bytes:
        found: T = yield from content(endpoint, view.id, None)
        return found
    return endpoint.read(view.result)


def content(endpoint: Endpoint[Any], job_id: str, index: int | None) -> Steps[Any]:
    """Read the bytes of a completed job's media."""
    query = "" if index is None else f"?index={index}"
    call = Call(
        "get", f"/{endpoint.path}/{job_id}/content{query}", timeout=None, max_retries=POLL_RETRIES, wants_bytes=True
    )
    return (yield call)


def cancel(endpoint: Endpoint[Any], job_id: str) -> Steps[bool]:
    """Cancel a job; true if it has ended by that."""
    answer: Answer = yield Call("post", f"/{endpoint.path}/{job_id}/cancel")
    return answer.view.has_ended


def complete(request: Request[T], headers: dict[str, str], timeout: float | None) -> Steps[T]:
    """Submit, wait, and read the result."""
    began = time.monotonic()
    hold = HOLD_SECONDS if timeout is None else min(HOLD_SECONDS, timeout)
    look = yield from submit(request, headers, hold)
    left = None if timeout is None else max(timeout - (time.monotonic() - began), 0)
    look = yield from wait(request.endpoint, look.view.id, look, left)
    return (yield from result(request.endpoint, look))


def attempts(view: JobView) -> list[Attempt]:
    """What was tried for a job that has ended; else nothing."""
    outcome = view.result if view.result is not None else view.error
    extra = outcome.get("extra_fields") if isinstance(outcome, dict) else None
    found = extra.get("attempts") if isinstance(extra, dict) else None
    return [Attempt.construct(**attempt) for attempt in found or []]


def _prefer(hold: float | None) -> tuple[int, dict[str, str]]:
    seconds = 0 if hold is None else int(hold)
    return seconds, {} if hold is None else {"Prefer": f"wait={seconds}"}


def _look(answer: Answer, asked: float) -> Look:
    headers = answer.response.headers
    try:
        after = float(headers["openai-poll-after-ms"]) / 1000
    except (KeyError, ValueError):
        try:
            after = float(headers["retry-after"])
        except (KeyError, ValueError):
            after = POLL_SECONDS
    # Counted from the question: where the answer was held back, that was the pause.
    return Look(answer.view, answer.response, asked + after)
