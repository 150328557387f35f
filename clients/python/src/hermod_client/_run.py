"""Runs steps with the OpenAI SDK: its connections, retries, timeouts and errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypeVar

from openai import APIResponse, AsyncAPIResponse, AsyncOpenAI, HttpxBinaryResponseContent, OpenAI

from ._steps import Answer, Call, Pause, Steps
from ._views import JobView

T = TypeVar("T")


def _options(call: Call) -> Any:
    options: dict[str, Any] = {"headers": call.headers}
    if call.timeout is not None:
        options["timeout"] = call.timeout
    if call.max_retries is not None:
        options["max_retries"] = call.max_retries
    return options


def _arguments(call: Call) -> dict[str, Any]:
    if call.method == "get":
        return {"options": _options(call)}
    return {"body": call.body, "files": call.files, "options": _options(call)}


def run(client: OpenAI, steps: Steps[T]) -> T:
    """Take each step in this thread."""
    try:
        step = next(steps)
        while True:
            step = steps.send(_take(client, step))
    except StopIteration as end:
        value: T = end.value
        return value


async def arun(client: AsyncOpenAI, steps: Steps[T]) -> T:
    """Take each step in this task."""
    try:
        step = next(steps)
        while True:
            step = steps.send(await _atake(client, step))
    except StopIteration as end:
        value: T = end.value
        return value


def _take(client: OpenAI, step: Call | Pause) -> Any:
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return None
    method = getattr(client, step.method)
    if step.wants_bytes:
        return method(step.path, cast_to=HttpxBinaryResponseContent, **_arguments(step))
    answer = method(step.path, cast_to=APIResponse[JobView], **_arguments(step))
    return Answer(answer.parse(), answer.http_response)


async def _atake(client: AsyncOpenAI, step: Call | Pause) -> Any:
    if isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
        return None
    method = getattr(client, step.method)
    if step.wants_bytes:
        return await method(step.path, cast_to=HttpxBinaryResponseContent, **_arguments(step))
    answer = await method(step.path, cast_to=AsyncAPIResponse[JobView], **_arguments(step))
    return Answer(await answer.parse(), answer.http_response)
