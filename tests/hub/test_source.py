"""Downloads with the real client of the Hugging Face Hub, from a stand-in on the loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from hub.checkpoint import Checkpoint
from hub.errors import SourceError
from hub.source import fetch
from runtime.progress import Progress
from tests.hub.hub_stand_in import COMMIT, StandIn, point_client_at, serve
from tests.reference.tiny import TINY

REPO = "someone/tiny"
UNNEEDED = ("pytorch_model.bin", "consolidated.safetensors", "README.md", "onnx/model.onnx")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = TINY[1].write(tmp_path_factory.mktemp("published"))
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**found, "LICENSE": b"Free.\n", **dict.fromkeys(UNNEEDED, b"not needed")}


@pytest.fixture
def stand_in(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StandIn]:
    with serve(StandIn(REPO, files)) as running:
        point_client_at(running, monkeypatch, tmp_path)
        yield running


def refusal(repo: str = REPO, revision: str = "main") -> str:
    with pytest.raises(SourceError) as caught:
        fetch(repo, revision)
    return str(caught.value)


def test_a_branch_is_resolved_to_its_commit_and_fetched(
    stand_in: StandIn, files: dict[str, bytes]
) -> None:
    fetched = fetch(REPO, "main")
    assert fetched.commit == COMMIT
    assert (fetched.folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    assert Checkpoint.open(fetched.folder).shape("model.norm.weight") == (128,)


def test_only_what_a_build_reads_is_fetched(stand_in: StandIn) -> None:
    folder = fetch(REPO, COMMIT).folder
    assert (folder / "LICENSE").is_file()
    for name in UNNEEDED:
        assert not (folder / name).exists()
        assert stand_in.gets(name) == []


def test_progress_reaches_the_size_of_the_files(stand_in: StandIn, files: dict[str, bytes]) -> None:
    seen: list[Progress] = []
    fetch(REPO, COMMIT, seen.append)
    wanted = sum(len(data) for name, data in files.items() if name not in UNNEEDED)
    assert seen[-1] == Progress("download", wanted, wanted, "bytes")
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_an_interrupted_download_goes_on_where_it_stopped(
    stand_in: StandIn, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    stand_in.cut["model.safetensors"] = 100_000
    folder = fetch(REPO, COMMIT).folder
    assert (folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    first, second = stand_in.gets("model.safetensors")
    assert first is None
    assert second == "bytes=100000-"


def test_a_second_fetch_downloads_nothing(stand_in: StandIn) -> None:
    fetch(REPO, COMMIT)
    stand_in.log.clear()
    fetch(REPO, COMMIT)
    assert [entry for entry in stand_in.log if entry[0] == "GET"] == []


def test_offline_the_cache_is_enough(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch(REPO, "main")
    stand_in.log.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert fetch(REPO, "main") == first
    assert stand_in.log == []


def test_offline_without_the_cache_says_what_to_do(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = refusal()
    assert "HF_HUB_OFFLINE forbids the network; unset it" in message
    assert "--checkpoint" in message


def test_a_gated_repository_without_token_says_where_to_accept(stand_in: StandIn) -> None:
    stand_in.gated = True
    message = refusal()
    assert f"{REPO} is gated: accept its licence at {stand_in.url}/{REPO}" in message
    assert "set HF_TOKEN to a token of that account" in message


def test_a_gated_repository_with_a_token_asks_whose_it_is(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_anything")
    assert "check that HF_TOKEN belongs to an account that was granted access" in refusal()


def test_a_missing_repository_says_what_to_check(stand_in: StandIn) -> None:
    message = refusal("someone/else")
    assert "someone/else does not exist, or is private; check the name, or set HF_TOKEN" in message


def test_a_private_repository_says_what_to_check(stand_in: StandIn) -> None:
    stand_in.private = True
    assert "does not exist, or is private" in refusal()


def test_a_missing_revision_is_named(stand_in: StandIn) -> None:
    assert f"{REPO} has no revision 'v9'" in refusal(revision="v9")


def test_a_bad_name_is_refused_before_any_request(stand_in: StandIn) -> None:
    assert "'a b//c' is not a repository name; write OWNER/NAME" in refusal("a b//c")
    assert stand_in.log == []


def test_a_silent_host_says_to_check_the_network(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    message = refusal()
    assert "http://127.0.0.1:9 does not answer" in message
    assert "run the same command again" in message


GGUF_FILES = ("m.Q4_0.gguf", "m.Q8_0.gguf")


def test_a_repository_of_gguf_files_asks_for_one(stand_in: StandIn) -> None:
    stand_in.files = dict.fromkeys((*GGUF_FILES, "README.md"), b"")
    assert f"{REPO} holds GGUF files; name one with --file: m.Q4_0.gguf, m.Q8_0" in refusal()


def test_only_the_gguf_file_that_is_named_is_fetched(stand_in: StandIn) -> None:
    stand_in.files = dict.fromkeys((*GGUF_FILES, "model.safetensors", "config.json"), b"x")
    folder = fetch(REPO, "main", file="m.Q4_0.gguf").folder
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "m.Q4_0.gguf"]
    with pytest.raises(SourceError, match=r"has no file 'other\.gguf'"):
        fetch(REPO, "main", file="other.gguf")


def test_an_mlc_repository_is_fetched_whole(stand_in: StandIn) -> None:
    names = ("mlc-chat-config.json", "tensor-cache.json", "params_shard_0.bin", "tokenizer.json")
    stand_in.files = dict.fromkeys((*names, "README.md"), b"x")
    assert sorted(path.name for path in fetch(REPO, "main").folder.iterdir()) == sorted(names)


def test_the_environment_names_the_endpoint_and_the_cache(
    stand_in: StandIn, tmp_path: Path
) -> None:
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE as a user sets them, in a process of their own."""
    script = "from hub.source import fetch; print(fetch('someone/tiny', 'main').commit)"
    environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": stand_in.url}
    for extra in ({}, {"HF_HUB_OFFLINE": "1"}):
        result = subprocess.run(
            [sys.executable, "-c", script],
            env={**environment, **extra},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert result.stdout.strip() == COMMIT
    assert len(stand_in.gets("config.json")) == 1
