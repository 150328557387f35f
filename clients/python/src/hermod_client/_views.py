"""What the API shows of a job."""

from __future__ import annotations

from typing import Literal

from openai import BaseModel

JobStatus = Literal["pending", "processing", "completed", "failed"]


class JobView(BaseModel):
    """The answer to a submit and to a poll."""

    id: str
    status: JobStatus
    status_code: int | None = None
    result: object | None = None
    error: object | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in ("completed", "failed")


class Attempt(BaseModel):
    """One thing that a worker tried for a job. A member that does not apply is `None`."""

    target: str
    """`provider/model`"""
    key: str | None = None
    """The name of the provider's key."""
    status: int | None = None
    """The provider's HTTP status; none where it did not answer."""
    error_type: str | None = None
    """None for a success."""
    started_at: str
    """When, as RFC 3339."""
    duration_ms: int
    skipped: str | None = None
    """Why there was no call, such as `cooldown`."""
    may_be_billed: bool = False
    """Whether a call that failed may have cost money."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | int | None = None
    """Dollars, where the price is known."""
