"""Use cases: each a frozen dataclass of ports with async methods."""

from dataclasses import dataclass

from dinoserve.domain.links import Signer
from dinoserve.services.assets import AssetService
from dinoserve.services.downloads import DownloadService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.features import FeatureService
from dinoserve.services.health import HealthService
from dinoserve.services.job_watching import JobWatching
from dinoserve.services.jobs import JobService
from dinoserve.services.models import ModelService
from dinoserve.services.renditions import RenditionService
from dinoserve.services.search import SearchService
from dinoserve.services.similarity import SimilarityService
from dinoserve.services.uploads import UploadService


@dataclass(frozen=True, slots=True)
class Services:
    """One field per capability, and what links are signed with."""

    assets: AssetService
    uploads: UploadService
    downloads: DownloadService
    renditions: RenditionService
    embeddings: EmbeddingService
    features: FeatureService
    search: SearchService
    similarity: SimilarityService
    models: ModelService
    health: HealthService
    jobs: JobService
    watching: JobWatching
    links: Signer
