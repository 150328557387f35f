"""Many requests, a bounded number at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Sized
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from ._options import Options
    from ._requests import Request

T = TypeVar("T")


class _Bar(Protocol):
    def update(self, n: float | None = 1) -> object: ...


class _NoBar:
    def update(self, _n: float | None = 1) -> None:
        pass


def bar_of(requests: Iterable[object], progress: bool) -> AbstractContextManager[_Bar]:
    """Make a progress bar, or nothing that looks like one."""
    if not progress:
        return nullcontext(_NoBar())
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm: pip install 'hermod-client[progress]'") from error
    bar: Any = tqdm(total=len(requests) if isinstance(requests, Sized) else None, unit="job")
    return cast("AbstractContextManager[_Bar]", bar)


def options_of(options: Options, number: int) -> Options:
    """Make the options of one of many: a key of the caller's is the beginning of each one's."""
    if "idempotency_key" not in options:
        return options
    return {**options, "idempotency_key": f"{options['idempotency_key']}/{number}"}


class Outcomes:
    """Results and errors, in the order of their requests."""

    def __init__(self, requests: Iterable[Request[T]], *, keep_errors: bool) -> None:
        """Begin with the first request."""
        self._requests = iter(enumerate(requests))
        self._keep_errors = keep_errors
        self._lock = threading.Lock()
        self._outcomes: dict[int, Any] = {}
        self.error: BaseException | None = None
        """What ends all."""

    def next(self) -> tuple[int, Request[Any]] | None:
        """Take the next request; none after the last, and after an error that ends all."""
        with self._lock:
            return None if self.error else next(self._requests, None)

    def keep(self, number: int, outcome: object) -> None:
        """Keep a result."""
        self._outcomes[number] = outcome

    def fail(self, number: int, error: Exception) -> None:
        """Keep an error, or end all with it."""
        if self._keep_errors:
            self._outcomes[number] = error
        else:
            self.error = self.error or error

    def all(self) -> list[Any]:
        """Give them in order, or raise what has ended all."""
        if self.error:
            raise self.error
        return [self._outcomes[number] for number in range(len(self._outcomes))]


def gather(complete: Callable[[Request[Any], int], object], outcomes: Outcomes, limit: int, bar: _Bar) -> list[Any]:
    """Run `limit` threads, each of which completes one request after the other."""

    def work() -> None:
        try:
            while (taken := outcomes.next()) is not None:
                number, request = taken
                try:
                    outcomes.keep(number, complete(request, number))
                except Exception as error:
                    outcomes.fail(number, error)
                if not outcomes.error:
                    bar.update()
        except BaseException as error:
            outcomes.error = error
        finally:
            done.release()

    done = threading.Semaphore(0)
    # Daemons: a program that is interrupted does not wait for the jobs of others.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(limit)]
    for thread in threads:
        thread.start()
    try:
        for _ in threads:
            done.acquire()
            if outcomes.error:
                break
    except BaseException as error:
        outcomes.error = error
        raise
    return outcomes.all()


async def agather(
    complete: Callable[[Request[Any], int], Awaitable[object]], outcomes: Outcomes, limit: int, bar: _Bar
) -> list[Any]:
    """Run `limit` tasks, each of which completes one request after the other."""

    async def work() -> None:
        while (taken := outcomes.next()) is not None:
            number, request = taken
            try:
                outcomes.keep(number, await complete(request, number))
            except Exception as error:
                outcomes.fail(number, error)
                if outcomes.error:
                    raise
            bar.update()

    tasks = [asyncio.ensure_future(work()) for _ in range(limit)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return outcomes.all()
