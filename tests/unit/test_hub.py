import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import ModelUnavailableError
from hub_server import Answer, Hub, serve_hub
from models import make_vit

REPOSITORY = "facebook/dinov3-tiny"
TOKEN = "hf_sEcReT0123456789"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vit(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def hub(tiny: Path, tmp_path: Path) -> Iterator[Hub]:
    source = tmp_path / "repository"
    shutil.copytree(tiny, source)
    (source / "pytorch_model.bin").write_bytes(b"a pickle")
    (source / "modeling_evil.py").write_bytes(b"raise SystemExit")
    (source / "LICENSE.md").write_bytes(b"the licence")
    with serve_hub(source, REPOSITORY) as server:
        yield server


@pytest.fixture
def load(hub: Hub, tmp_path: Path) -> Callable[..., LoadedModel]:
    def load_from_hub(name: str = REPOSITORY, token: str | None = None) -> LoadedModel:
        cache = tmp_path / "cache"
        return load_model(name, token=token, endpoint=hub.endpoint, cache=cache)

    return load_from_hub


@pytest.fixture
def refusal(load: Callable[..., LoadedModel]) -> Callable[..., str]:
    def refuse(name: str = REPOSITORY, token: str | None = None) -> str:
        with pytest.raises(ModelUnavailableError) as caught:
            load(name, token)
        return caught.value.detail

    return refuse


def test_a_model_on_the_hub_is_loaded_at_its_exact_commit(
    hub: Hub, load: Callable[..., LoadedModel]
) -> None:
    model = load()
    assert (model.name, model.revision) == (REPOSITORY, hub.commit)


def test_a_model_from_the_hub_equals_the_same_files_in_a_folder(
    tiny: Path, load: Callable[..., LoadedModel]
) -> None:
    assert load().weights_sha256 == load_model(str(tiny)).weights_sha256


def test_a_pinned_commit_is_loaded(hub: Hub, load: Callable[..., LoadedModel]) -> None:
    assert load(f"{REPOSITORY}@{hub.commit}").revision == hub.commit


def test_a_branch_becomes_the_commit_it_stands_for(
    hub: Hub, load: Callable[..., LoadedModel]
) -> None:
    assert load(f"{REPOSITORY}@main").revision == hub.commit


def test_neither_pickles_nor_code_are_downloaded(
    hub: Hub, load: Callable[..., LoadedModel]
) -> None:
    load()
    assert hub.fetched() == {
        "LICENSE.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }


def test_the_hub_is_not_told_which_libraries_run_here(
    hub: Hub, load: Callable[..., LoadedModel]
) -> None:
    load()
    agents = " ".join(request.headers["user-agent"] for request in hub.requests)
    assert "torch" not in agents


def test_the_licence_of_metas_weights_is_told(
    load: Callable[..., LoadedModel],
) -> None:
    assert load().licence == "DINOv3 License"


def test_a_warm_cache_serves_without_a_network(tiny: Path, tmp_path: Path) -> None:
    with serve_hub(tiny, REPOSITORY) as server:
        first = load_model(REPOSITORY, endpoint=server.endpoint, cache=tmp_path)
    again = load_model(REPOSITORY, endpoint=server.endpoint, cache=tmp_path)
    assert again.revision == first.revision


def test_a_warm_cache_serves_while_downloads_are_forbidden(
    load: Callable[..., LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert load().revision == first.revision


def test_a_cold_cache_while_downloads_are_forbidden_names_the_setting(
    refusal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids a download" in refusal()


def test_a_gated_model_without_a_token_says_what_to_do(
    hub: Hub, refusal: Callable[..., str]
) -> None:
    hub.token = TOKEN
    detail = refusal()
    assert detail.startswith(f"{REPOSITORY}: gated (HTTP 401), and no token.")
    assert f"https://huggingface.co/{REPOSITORY}" in detail
    assert "HF_TOKEN" in detail


def test_a_gated_model_and_an_account_not_let_in_says_so(
    hub: Hub, refusal: Callable[..., str]
) -> None:
    hub.token = "hf_another"
    assert "gated (HTTP 403), and this token's account is not let in" in refusal(
        token=TOKEN
    )


def test_a_gated_model_opens_with_the_right_token(
    hub: Hub, load: Callable[..., LoadedModel]
) -> None:
    hub.token = TOKEN
    assert load(token=f"{TOKEN}\n").revision == hub.commit


def test_an_absent_repository_without_a_token_may_be_hidden(
    refusal: Callable[..., str],
) -> None:
    detail = refusal("facebook/dinov3-typo")
    assert "facebook/dinov3-typo: no such repository, or it needs HF_TOKEN" in detail


def test_an_absent_repository_with_a_token_may_be_hidden_from_it(
    refusal: Callable[..., str],
) -> None:
    assert "hidden from this token" in refusal("facebook/dinov3-typo", TOKEN)


def test_an_unknown_revision_is_told_from_an_unknown_repository(
    refusal: Callable[..., str],
) -> None:
    assert "no such revision" in refusal(f"{REPOSITORY}@v9")


def test_a_dead_port_is_named_unreachable(tmp_path: Path, tiny: Path) -> None:
    with serve_hub(tiny, REPOSITORY) as server:
        endpoint = server.endpoint
    with pytest.raises(ModelUnavailableError, match=r"cannot be reached.*ConnectError"):
        load_model(REPOSITORY, endpoint=endpoint, cache=tmp_path)


@pytest.mark.parametrize(
    "body", [b"<html>sign in</html>", b"[]", b"{}", b'{"id": 3}', b"\xff\xfe\x00"]
)
def test_an_answer_of_something_else_is_named_so(
    hub: Hub, refusal: Callable[..., str], body: bytes
) -> None:
    hub.garbage = Answer(200, {"Content-Type": "text/html"}, body)
    assert "the answer is not the Hub's" in refusal()


def test_files_without_the_hubs_headers_are_named_so(
    hub: Hub, refusal: Callable[..., str]
) -> None:
    hub.plain_files = True
    assert "the answer is not the Hub's" in refusal()


def test_a_hub_that_is_down_gives_its_status(
    hub: Hub, refusal: Callable[..., str]
) -> None:
    hub.garbage = Answer(500, {})
    assert "the Hub answered HTTP 500" in refusal()


def test_a_wrong_token_is_told_from_an_absent_repository(
    hub: Hub, refusal: Callable[..., str]
) -> None:
    message = "Invalid credentials in Authorization header"
    hub.garbage = Answer(401, {"X-Error-Message": message})
    assert "access refused (HTTP 401)" in refusal(token=TOKEN)


def test_a_download_that_breaks_off_completes_at_the_second_try(
    hub: Hub, load: Callable[..., LoadedModel], refusal: Callable[..., str]
) -> None:
    hub.cut("model.safetensors")
    refusal()
    assert load().revision == hub.commit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)]
    subprocess.run(mount, check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.needs("tmpfs")
@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_full_disk_is_named_and_what_to_do(hub: Hub, small_disk: Path) -> None:
    with pytest.raises(ModelUnavailableError, match=r"No space left on device.*free"):
        load_model(REPOSITORY, endpoint=hub.endpoint, cache=small_disk)


@pytest.mark.parametrize("token", ["hf_a\nb", "hf_ä", "hf a", "hf_\x00"])
def test_a_mangled_token_is_refused_without_showing_it(
    refusal: Callable[..., str], token: str
) -> None:
    detail = refusal(token=token)
    assert "HF_TOKEN holds characters" in detail
    assert token not in detail


def test_no_refusal_shows_the_token(hub: Hub, refusal: Callable[..., str]) -> None:
    hub.token = "hf_another"
    assert TOKEN not in refusal(token=TOKEN) + refusal("facebook/none", TOKEN)


def test_a_name_that_the_hub_cannot_have_is_refused(
    refusal: Callable[..., str],
) -> None:
    assert "no valid Hub id" in refusal("organisation/na--me")


@pytest.mark.parametrize("name", ["dinov3", "a/b/c", "org/name@", "org/na me", "", "@"])
def test_what_is_neither_folder_nor_hub_id_is_refused(
    refusal: Callable[..., str], name: str
) -> None:
    assert "neither `bundled`, nor a folder here, nor a Hub id" in refusal(name)
