"""What is asked does not fit what is there."""

from dinoserve.errors.base import DinoserveError


class NotFoundError(DinoserveError):
    """The thing named does not exist."""

    code = "not-found"


class AssetNotFoundError(NotFoundError):
    """No asset has this id."""

    code = "asset-not-found"


class ModelNotFoundError(NotFoundError):
    """No loaded model has this id."""

    code = "model-not-found"


class CharacterNotFoundError(NotFoundError):
    """No character has this id."""

    code = "character-not-found"


class NodeNotFoundError(NotFoundError):
    """A relation names an asset or character that is not there."""

    code = "node-not-found"


class CalibrationNotFoundError(NotFoundError):
    """No calibration has this id."""

    code = "calibration-not-found"


class JobNotFoundError(NotFoundError):
    """No job, or no dead letter, has this id."""

    code = "job-not-found"


class ConflictError(DinoserveError):
    """The request is right in itself but does not fit the present state."""

    code = "conflict"


class RecipeMismatchError(ConflictError):
    """Vectors of two recipes would have met."""

    code = "recipe-mismatch"


class NotEmbeddedError(ConflictError):
    """The asset has no embedding yet."""

    code = "asset-not-embedded"


class NoReferencesError(ConflictError):
    """The character has no reference to compare with."""

    code = "no-references"


class UploadIncompleteError(ConflictError):
    """Nothing has come yet of an upload that was asked for."""

    code = "upload-incomplete"


class JobStateError(ConflictError):
    """What was asked of a job does not fit the state it is in."""

    code = "job-state"


class ResultErasedError(ConflictError):
    """What a job made was erased, as an asset was erased that it tells of."""

    code = "result-erased"


class NotInstalledError(ConflictError):
    """What was asked takes a library that is not installed here."""

    code = "not-installed"


class NotConfiguredError(ConflictError):
    """What was asked takes something that no setting of this server names."""

    code = "not-configured"


class IdempotencyError(ConflictError):
    """The idempotency key belongs to a request for something else."""

    code = "idempotency-mismatch"
