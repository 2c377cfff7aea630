"""Every way dinoserve fails, drawn as one tree.

The tree knows nothing of HTTP: `web/problems.py` maps it to status codes. Each
class has a stable `code`, documented under that name in `docs/problems.md`.

    DinoserveError
    ├── InvalidInputError          invalid-input
    │   ├── ImageEmptyError        image-empty
    │   ├── ImageUnsupportedError  image-unsupported
    │   ├── ImageDamagedError      image-damaged
    │   ├── ImageTooLargeError     image-too-large
    │   ├── BodyTooLargeError      body-too-large
    │   ├── HeaderError            invalid-header
    │   ├── RangeError             range-not-satisfiable
    │   ├── UploadMismatchError    upload-mismatch
    │   ├── RenditionRefusedError  rendition-refused
    │   ├── FetchDisabledError     fetch-disabled
    │   ├── FetchRefusedError      fetch-refused
    │   └── FetchFailedError       fetch-failed
    ├── NotFoundError              not-found
    │   ├── AssetNotFoundError     asset-not-found
    │   ├── ModelNotFoundError     model-not-found
    │   ├── CharacterNotFoundError character-not-found
    │   ├── CalibrationNotFoundError calibration-not-found
    │   ├── NodeNotFoundError      node-not-found
    │   └── JobNotFoundError       job-not-found
    ├── ConflictError              conflict
    │   ├── RecipeMismatchError    recipe-mismatch
    │   ├── NotEmbeddedError       asset-not-embedded
    │   ├── NoReferencesError      no-references
    │   ├── UploadIncompleteError  upload-incomplete
    │   ├── JobStateError          job-state
    │   ├── ResultErasedError      result-erased
    │   ├── NotInstalledError      not-installed
    │   ├── NotConfiguredError     not-configured
    │   └── IdempotencyError       idempotency-mismatch
    ├── UnauthorizedError          unauthorized
    ├── ForeignCallerError         foreign-caller
    ├── LinkRefusedError           link-refused
    ├── OverloadedError            overloaded
    ├── DeadlineError              deadline-exceeded
    ├── UnavailableError           unavailable
    │   └── StorageFullError       storage-full
    └── StartUpError               start-up
        ├── ModelUnavailableError  model-unavailable
        ├── DataFolderError        data-folder
        └── UnsafeBindError        unsafe-bind
"""

from dinoserve.errors.access import (
    ForeignCallerError,
    LinkRefusedError,
    UnauthorizedError,
)
from dinoserve.errors.base import (
    DinoserveError,
)
from dinoserve.errors.given import (
    BodyTooLargeError,
    FetchDisabledError,
    FetchFailedError,
    FetchRefusedError,
    HeaderError,
    ImageDamagedError,
    ImageEmptyError,
    ImageTooLargeError,
    ImageUnsupportedError,
    InvalidInputError,
    RangeError,
    RenditionRefusedError,
    UploadMismatchError,
)
from dinoserve.errors.service import (
    DataFolderError,
    DeadlineError,
    ModelUnavailableError,
    OverloadedError,
    StartUpError,
    StorageFullError,
    UnavailableError,
    UnsafeBindError,
)
from dinoserve.errors.state import (
    AssetNotFoundError,
    CalibrationNotFoundError,
    CharacterNotFoundError,
    ConflictError,
    IdempotencyError,
    JobNotFoundError,
    JobStateError,
    ModelNotFoundError,
    NodeNotFoundError,
    NoReferencesError,
    NotConfiguredError,
    NotEmbeddedError,
    NotFoundError,
    NotInstalledError,
    RecipeMismatchError,
    ResultErasedError,
    UploadIncompleteError,
)

__all__ = [
    "AssetNotFoundError",
    "BodyTooLargeError",
    "CalibrationNotFoundError",
    "CharacterNotFoundError",
    "ConflictError",
    "DataFolderError",
    "DeadlineError",
    "DinoserveError",
    "FetchDisabledError",
    "FetchFailedError",
    "FetchRefusedError",
    "ForeignCallerError",
    "HeaderError",
    "IdempotencyError",
    "ImageDamagedError",
    "ImageEmptyError",
    "ImageTooLargeError",
    "ImageUnsupportedError",
    "InvalidInputError",
    "JobNotFoundError",
    "JobStateError",
    "LinkRefusedError",
    "ModelNotFoundError",
    "ModelUnavailableError",
    "NoReferencesError",
    "NodeNotFoundError",
    "NotConfiguredError",
    "NotEmbeddedError",
    "NotFoundError",
    "NotInstalledError",
    "OverloadedError",
    "RangeError",
    "RecipeMismatchError",
    "RenditionRefusedError",
    "ResultErasedError",
    "StartUpError",
    "StorageFullError",
    "UnauthorizedError",
    "UnavailableError",
    "UnsafeBindError",
    "UploadIncompleteError",
    "UploadMismatchError",
]
