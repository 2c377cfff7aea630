"""What is logged and counted of jobs as they are worked on."""

import logging
from dataclasses import dataclass

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobLog:
    """Tells of chunks that ended, failed or were buried, and of jobs that ended."""

    metrics: Metrics

    def burial(self, job: Job, chunk: Chunk) -> None:
        """Tell that the chunk is in the dead letters."""
        self.metrics.dead_letters.labels(job.kind).inc()
        _log.error("%s is in the dead letters: %s", _name(job, chunk), chunk.error)

    def failure(self, job: Job, chunk: Chunk, told: str, *, is_bug: bool) -> None:
        """Tell why a try failed; of a bug, with where it was."""
        _log.warning("%s failed: %s", _name(job, chunk), told, exc_info=is_bug)

    def end(self, ended: Edited, seconds: float) -> None:
        """Tell what became of the chunk that was worked on so long, and of its job."""
        for chunk in ended.chunks[:1]:
            _log.info(
                "%s is %s after %.2f s: %d done, %d failed",
                _name(ended.job, chunk),
                chunk.state,
                seconds,
                chunk.done,
                len(chunk.failures),
            )
        if ended.job.finished_at:
            self.metrics.jobs.labels(ended.job.kind, ended.job.state).inc()
            _log.info("%s job %s %s", ended.job.kind, ended.job.id, ended.job.state)


def _name(job: Job, chunk: Chunk) -> str:
    return f"chunk {chunk.number} of {job.kind} job {job.id}"
