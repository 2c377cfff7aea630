"""Sending what a job made: its JSON, or the file that this names."""

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse

from dinoserve.domain.jobs import Job
from dinoserve.errors import JobStateError, ResultErasedError, UnavailableError
from dinoserve.services.job_results import JobResults, ResultFile


async def send_result(job: Job, results: JobResults) -> Response:
    """Return the answer with the job's result.

    Raises:
        ResultErasedError: an asset was erased since that it tells of.
        JobStateError: the job has not succeeded.
        UnavailableError: its file is gone.
    """
    if job.erased_at:
        raise ResultErasedError(
            "An asset was erased that this job covers, and what it made with it; submit"
            " the job again.",
            job=job.id,
        )
    if job.state != "succeeded":
        raise JobStateError(
            f"This job is {job.state}; a result is there once a job has succeeded.",
            field="state",
            value=job.state,
        )
    if file := ResultFile.of(job):
        return await _send(job.id, file, results)
    return JSONResponse(dict(job.result or {}))


async def _send(job_id: str, file: ResultFile, results: JobResults) -> Response:
    # Told here, as it is too late once the answer has begun.
    if await results.size(job_id, file.chunk) != file.size_bytes:
        raise UnavailableError("The file that the job made is gone.", port="objects")
    headers = {
        "content-length": str(file.size_bytes),
        "content-disposition": f'attachment; filename="{file.name}"',
        "etag": f'"{file.sha256}"',
        "x-content-type-options": "nosniff",
    }
    pieces = results.read(job_id, file.chunk)
    return StreamingResponse(pieces, 200, headers, file.media_type)
