"""Use cases: each a frozen dataclass of ports with async methods."""

from dataclasses import dataclass

from dinoserve.domain.links import Signer
from dinoserve.services.assets import AssetService
from dinoserve.services.calibrations import CalibrationService
from dinoserve.services.character_checks import CharacterCheckService
from dinoserve.services.character_groups import CharacterGroupService
from dinoserve.services.characters import CharacterService
from dinoserve.services.downloads import DownloadService
from dinoserve.services.duplicates import DuplicateService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.features import FeatureService
from dinoserve.services.graph import GraphService
from dinoserve.services.groups import GroupService
from dinoserve.services.health import HealthService
from dinoserve.services.job_watching import JobWatching
from dinoserve.services.jobs import JobService
from dinoserve.services.knowledge import KnowledgeService
from dinoserve.services.models import ModelService
from dinoserve.services.quality import QualityService
from dinoserve.services.regions import RegionService
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
    regions: RegionService
    similarity: SimilarityService
    quality: QualityService
    duplicates: DuplicateService
    groups: GroupService
    characters: CharacterService
    character_checks: CharacterCheckService
    character_groups: CharacterGroupService
    calibrations: CalibrationService
    models: ModelService
    health: HealthService
    jobs: JobService
    watching: JobWatching
    links: Signer
    graph: GraphService
    knowledge: KnowledgeService
