"""The endpoints of Hermod, and the types of their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from openai import BaseModel, HttpxBinaryResponseContent
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.audio import Transcription
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

T = TypeVar("T")


@dataclass(frozen=True)
class Endpoint(Generic[T]):
    """A kind of call: its path below `/v1/async/`, and what a completed job of it gives."""

    path: str
    result_type: type[T]

    def read(self, result: object) -> T:
        """Make the result of the API's JSON, as the OpenAI SDK makes it: without validation."""
        if isinstance(result, dict) and issubclass(self.result_type, BaseModel):
            return cast("T", self.result_type.construct(**result))
        return cast("T", result)

    @property
    def answers_with_bytes(self) -> bool:
        """Whether its result is read from `/content`."""
        return self.result_type is HttpxBinaryResponseContent

    @staticmethod
    def of(path: str) -> Endpoint[Any]:
        """Find the endpoint with this path; the results of an unknown one are dictionaries."""
        return _BY_PATH.get(path) or Endpoint(path, dict)


CHAT = Endpoint("chat/completions", ChatCompletion)
RESPONSES = Endpoint("responses", Response)
COMPLETION = Endpoint("completions", Completion)
EMBEDDINGS = Endpoint("embeddings", CreateEmbeddingResponse)
SPEECH = Endpoint("audio/speech", HttpxBinaryResponseContent)
TRANSCRIPTION = Endpoint("audio/transcriptions", Transcription)
IMAGE = Endpoint("images/generations", ImagesResponse)
IMAGE_EDIT = Endpoint("images/edits", ImagesResponse)
IMAGE_VARIATION = Endpoint("images/variations", ImagesResponse)
RERANK: Endpoint[dict[str, Any]] = Endpoint("rerank", dict)
OCR: Endpoint[dict[str, Any]] = Endpoint("ocr", dict)

_BY_PATH: dict[str, Endpoint[Any]] = {
    endpoint.path: endpoint
    for endpoint in cast(
        "list[Endpoint[Any]]",
        [
            CHAT,
            RESPONSES,
            COMPLETION,
            EMBEDDINGS,
            SPEECH,
            TRANSCRIPTION,
            IMAGE,
            IMAGE_EDIT,
            IMAGE_VARIATION,
            RERANK,
            OCR,
        ],
    )
}
