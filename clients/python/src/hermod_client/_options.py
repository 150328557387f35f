"""What is asked for besides a call."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone

from typing_extensions import TypedDict


class Options(TypedDict, total=False):
    """Named arguments of `submit`, `complete` and `gather`."""

    ttl: int
    """Seconds to keep the result after the end; an hour by default."""
    priority: int
    """The job's place among those of its virtual key, from 1, the first, to 5; 3 by default."""
    max_wait: int
    """Seconds that it may wait for its virtual key's limits; 0 for not at all."""
    delay: int
    """Seconds before it may start."""
    run_at: datetime | str
    """The time before which it does not start; a text is RFC 3339."""
    webhook: str
    """The webhook endpoint that is told of the end."""
    idempotency_key: str
    """The same submit with the same key makes no second job. By default the client makes one for each submit."""
    virtual_key: str
    """A virtual key in place of the client's."""


_HEADERS = {
    "ttl": "x-bf-async-job-result-ttl",
    "priority": "x-hermod-priority",
    "max_wait": "x-hermod-max-wait",
    "delay": "x-hermod-delay",
    "run_at": "x-hermod-run-at",
    "webhook": "x-bf-async-webhook",
    "idempotency_key": "Idempotency-Key",
}


def headers_of(options: Options) -> dict[str, str]:
    """Make the headers of a submit, always with a key: its retries make no second job."""
    unknown = set(options) - set(Options.__annotations__)
    if unknown:
        raise TypeError(f"unknown option {min(unknown)!r}; there are {', '.join(Options.__annotations__)}")
    headers = {_HEADERS[name]: _text(value) for name, value in options.items() if name in _HEADERS}
    headers.setdefault("Idempotency-Key", f"hermod-client-{uuid.uuid4()}")
    return headers


def _text(value: object) -> str:
    if isinstance(value, datetime):
        # A time without a zone is this machine's, as everywhere in Python.
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    return str(value)
