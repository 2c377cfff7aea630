"""A folder in Hugging Face's or timm's layout: what it must hold, and digests of it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from dinoserve.errors import ModelUnavailableError

_CONFIG = "config.json"
_PREPROCESSOR = "preprocessor_config.json"
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of one model.

    Attributes:
        path: the folder.
        name: what the operator called the model; errors speak of it.
    """

    path: Path
    name: str

    def unavailable(self, reason: str) -> ModelUnavailableError:
        """Return the error that says why this model cannot be had."""
        return ModelUnavailableError(f"{self.name}: {reason}.", model=self.name)

    def config(self) -> dict[str, object]:
        """Return the contents of `config.json`.

        Raises:
            ModelUnavailableError: it is missing or is not a JSON object.
        """
        return self._read_json(_CONFIG)

    def preprocessor(self) -> dict[str, object]:
        """Return the contents of `preprocessor_config.json`; empty without one.

        Raises:
            ModelUnavailableError: it is not a JSON object.
        """
        there = (self.path / _PREPROCESSOR).exists()
        return self._read_json(_PREPROCESSOR) if there else {}

    def weight_files(self) -> list[Path]:
        """Return the safetensors files that hold the weights, each one whole.

        Raises:
            ModelUnavailableError: there are none, or one is missing or damaged.
        """
        if (self.path / _WEIGHTS).exists():
            files = [self.path / _WEIGHTS]
        elif (self.path / _INDEX).exists():
            files = self._shards()
        else:
            raise self.unavailable(self._why_no_weights())
        for file in files:
            self._check_whole(file)
        return files

    def config_sha256(self) -> str:
        """Return the digest of the bytes of `config.json`, in hex."""
        return file_sha256(self.path / _CONFIG)

    def weights_sha256(self) -> str:
        """Return the digest of the weight file, in hex.

        Of several files it is the digest of the sorted lines `name sha256`.
        """
        files = self.weight_files()
        if len(files) == 1:
            return file_sha256(files[0])
        lines = "".join(f"{file.name} {file_sha256(file)}\n" for file in sorted(files))
        return hashlib.sha256(lines.encode()).hexdigest()

    def _read_json(self, file: str) -> dict[str, object]:
        try:
            content: object = json.loads((self.path / file).read_bytes())
        except FileNotFoundError as error:
            raise self.unavailable(
                f"{file} is missing; a model is a folder in Hugging Face's or timm's"
                " layout"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise self.unavailable(f"{file} is not readable JSON") from error
        if not isinstance(content, dict):
            raise self.unavailable(f"{file} is not a JSON object")
        return content  # pyright: ignore[reportUnknownVariableType] - a JSON object has text keys

    def _shards(self) -> list[Path]:
        places = self._read_json(_INDEX).get("weight_map")
        if not isinstance(places, Mapping) or not places:
            raise self.unavailable(f"{_INDEX} has no weight_map")
        names = {str(file) for file in places.values()}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - JSON of any shape
        if any(Path(file).name != file for file in names):
            raise self.unavailable(f"{_INDEX} names files outside the folder")
        return [self.path / file for file in sorted(names)]

    def _why_no_weights(self) -> str:
        pickles = [file for kind in _PICKLES for file in self.path.glob(kind)]
        if not pickles:
            return f"neither {_WEIGHTS} nor {_INDEX} is there"
        return (
            f"only pickled weights are there ({pickles[0].name}); they are refused,"
            " because reading a pickle can run any code: convert them to safetensors,"
            " or name the file itself if it is a checkpoint of Meta's"
        )

    def _check_whole(self, file: Path) -> None:
        try:
            with safe_open(file, "pt"):
                pass
        except FileNotFoundError as error:
            raise self.unavailable(f"{file.name} is missing") from error
        except (SafetensorError, OSError) as error:
            raise self.unavailable(
                f"{file.name} is damaged or cut short ({error}); fetch it again"
            ) from error


def file_sha256(file: Path) -> str:
    """Return the digest of the file's bytes, in hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
