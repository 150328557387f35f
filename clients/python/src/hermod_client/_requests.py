"""Requests: what is submitted. Their arguments are those of the OpenAI SDK's `create`, and `fallbacks`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from typing_extensions import Unpack

from ._endpoints import (
    CHAT,
    COMPLETION,
    EMBEDDINGS,
    IMAGE,
    IMAGE_EDIT,
    IMAGE_VARIATION,
    OCR,
    RERANK,
    RESPONSES,
    SPEECH,
    TRANSCRIPTION,
    Endpoint,
)

if TYPE_CHECKING:
    from openai import HttpxBinaryResponseContent
    from openai.types import Completion, CreateEmbeddingResponse, EmbeddingCreateParams, ImagesResponse
    from openai.types.audio import SpeechCreateParams, Transcription
    from openai.types.audio.transcription_create_params import TranscriptionCreateParamsNonStreaming
    from openai.types.chat import ChatCompletion
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
    from openai.types.completion_create_params import CompletionCreateParamsNonStreaming
    from openai.types.image_create_variation_params import ImageCreateVariationParams
    from openai.types.image_edit_params import ImageEditParamsNonStreaming
    from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
    from openai.types.responses import Response
    from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

T = TypeVar("T")
Fallbacks = Sequence[str]
Extra = Mapping[str, object]


@dataclass(frozen=True)
class Request(Generic[T]):
    """A call to an endpoint. The functions of this module make them; `Request(CHAT, {...})` takes any body."""

    endpoint: Endpoint[T]
    body: Mapping[str, object]
    files: Sequence[tuple[str, object]] = field(default=(), repr=False)


def _request(
    endpoint: Endpoint[T],
    params: Mapping[str, Any],
    fallbacks: Fallbacks | None,
    extra_body: Extra | None,
    files: Mapping[str, str] | None = None,
) -> Request[T]:
    body = dict(params)
    uploads = [
        (name, _file(content))
        for param, name in (files or {}).items()
        if param in body
        for content in _each(body.pop(param))
    ]
    if fallbacks is not None:
        body["fallbacks"] = list(fallbacks)
    return Request(endpoint, {**body, **(extra_body or {})}, uploads)


def _each(content: Any) -> Sequence[Any]:
    return content if isinstance(content, list) else [content]


def _file(content: Any) -> object:
    """Read a file now: a request that is sent again needs all of it again."""
    if isinstance(content, tuple):
        name, inner, *rest = content
        return (name, _bytes(inner), *rest)
    name = getattr(content, "name", None) if not isinstance(content, os.PathLike) else os.fspath(content)
    return (Path(str(name)).name if name else "upload", _bytes(content))


def _bytes(content: Any) -> bytes:
    if isinstance(content, os.PathLike):
        return Path(content).read_bytes()
    return bytes(content if isinstance(content, (bytes, bytearray)) else content.read())


def chat(
    *, fallbacks: Fallbacks | None = None, extra_body: Extra | None = None, **params: Unpack[ChatParams]
) -> Request[ChatCompletion]:
    """Chat completions, as `client.chat.completions.create`."""
    return _request(CHAT, params, fallbacks, extra_body)


def responses(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[ResponseCreateParamsNonStreaming],
) -> Request[Response]:
    """Responses, as `client.responses.create`."""
    return _request(RESPONSES, params, fallbacks, extra_body)


def completion(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[CompletionCreateParamsNonStreaming],
) -> Request[Completion]:
    """Text completions, as `client.completions.create`."""
    return _request(COMPLETION, params, fallbacks, extra_body)


def embeddings(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[EmbeddingCreateParams],
) -> Request[CreateEmbeddingResponse]:
    """Embeddings, as `client.embeddings.create`. Vectors are lists of numbers unless `encoding_format` is `base64`."""
    return _request(EMBEDDINGS, params, fallbacks, extra_body)


def speech(
    *, fallbacks: Fallbacks | None = None, extra_body: Extra | None = None, **params: Unpack[SpeechCreateParams]
) -> Request[HttpxBinaryResponseContent]:
    """Speech, as `client.audio.speech.create`."""
    return _request(SPEECH, params, fallbacks, extra_body)


def transcription(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[TranscriptionCreateParamsNonStreaming],
) -> Request[Transcription]:
    """Transcriptions, as `client.audio.transcriptions.create`. The file is read at once."""
    return _request(TRANSCRIPTION, params, fallbacks, extra_body, {"file": "file"})


def image(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[ImageGenerateParamsNonStreaming],
) -> Request[ImagesResponse]:
    """Images, as `client.images.generate`."""
    return _request(IMAGE, params, fallbacks, extra_body)


def image_edit(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[ImageEditParamsNonStreaming],
) -> Request[ImagesResponse]:
    """Edits of images, as `client.images.edit`. The files are read at once."""
    return _request(IMAGE_EDIT, params, fallbacks, extra_body, {"image": "image[]", "mask": "mask"})


def image_variation(
    *,
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
    **params: Unpack[ImageCreateVariationParams],
) -> Request[ImagesResponse]:
    """Variations of an image, as `client.images.create_variation`. The file is read at once."""
    return _request(IMAGE_VARIATION, params, fallbacks, extra_body, {"image": "image[]"})


def rerank(
    *,
    model: str,
    query: str,
    documents: Sequence[object],
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
) -> Request[dict[str, Any]]:
    """Documents in the order in which they answer a query."""
    params = {"model": model, "query": query, "documents": list(documents)}
    return _request(RERANK, params, fallbacks, extra_body)


def ocr(
    *,
    model: str,
    document: Mapping[str, object],
    fallbacks: Fallbacks | None = None,
    extra_body: Extra | None = None,
) -> Request[dict[str, Any]]:
    """The text of a document, such as `{"type": "document_url", "document_url": "https://…"}`."""
    return _request(OCR, {"model": model, "document": dict(document)}, fallbacks, extra_body)
