"""A thin client of Hermod: submit a call, wait for its end, get the OpenAI SDK's own types.

```python
from hermod_client import Hermod, chat

hermod = Hermod("http://localhost:8080")
completion = hermod.complete(chat(model="demo/slow-2s", messages=[{"role": "user", "content": "Hello"}]))
print(completion.choices[0].message.content)
```

`AsyncHermod` is the same with `await`.
"""

from ._client import AsyncHermod, Hermod
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
from ._errors import JobCancelledError, JobFailedError, WaitTimeoutError
from ._jobs import AsyncJob, Job
from ._options import Options
from ._requests import (
    Request,
    chat,
    completion,
    embeddings,
    image,
    image_edit,
    image_variation,
    ocr,
    rerank,
    responses,
    speech,
    transcription,
)
from ._views import Attempt, JobStatus

__all__ = [
    "CHAT",
    "COMPLETION",
    "EMBEDDINGS",
    "IMAGE",
    "IMAGE_EDIT",
    "IMAGE_VARIATION",
    "OCR",
    "RERANK",
    "RESPONSES",
    "SPEECH",
    "TRANSCRIPTION",
    "AsyncHermod",
    "AsyncJob",
    "Attempt",
    "Endpoint",
    "Hermod",
    "Job",
    "JobCancelledError",
    "JobFailedError",
    "JobStatus",
    "Options",
    "Request",
    "WaitTimeoutError",
    "chat",
    "completion",
    "embeddings",
    "image",
    "image_edit",
    "image_variation",
    "ocr",
    "rerank",
    "responses",
    "speech",
    "transcription",
]
