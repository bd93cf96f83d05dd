"""chat, logits and bench, with a toy model computed by a real WebGPU device."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from runtime.errors import ModelpressError
from runtime.native import cli

from .conftest import vulkan_environment
from .toy_model import VOCAB, greedy_letters, likeliest, write_toy_hub

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("drivers")]
ADAPTERS = ("llvmpipe", "swiftshader")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_hub(tmp_path_factory.mktemp("hub"))


def run(*arguments: str, keyboard: str | None = None) -> str:
    """Standard output of a command that succeeds."""
    result = CliRunner().invoke(cli.app, arguments, input=keyboard)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_chat_answers_one_prompt(hub: Path, adapter: str) -> None:
    options = ("--hub", str(hub), "--adapter", adapter, "--max-tokens", "40")
    assert run("chat", "toy", "--prompt", "Hi", *options) == greedy_letters("Hi", 40) + "\n"


def test_a_seed_gives_the_same_answer_again(hub: Path) -> None:
    options = ("--hub", str(hub), "--max-tokens", "8", "--temperature", "1", "--seed")
    answers = [run("chat", "toy", "--prompt", "Hi", *options, seed) for seed in ("5", "5", "6")]
    assert answers[0] == answers[1] != answers[2]


def test_a_conversation_goes_on_until_quit_and_starts_over_with_new(hub: Path) -> None:
    options = ("--hub", str(hub), "--max-tokens", "6")
    out = run("chat", "toy", *options, keyboard="Hi\n/new\nHi\n/quit\nnever read\n")
    assert out.splitlines() == [greedy_letters("Hi", 6)] * 2


def test_a_question_that_fails_does_not_end_the_conversation(hub: Path) -> None:
    options = ("--hub", str(hub), "--max-tokens", "6")
    out = run("chat", "toy", *options, keyboard=f"{'x' * 300}\nHi\n")
    assert out.splitlines() == [greedy_letters("Hi", 6)]


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    hub = write_toy_hub(tmp_path, context=1 << 16)
    code = "from runtime.native.cli import app; app()"
    command = [sys.executable, "-c", code, "chat", "toy", "--hub", str(hub)]
    pipe = subprocess.PIPE
    environment = os.environ | vulkan_environment()
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    ) as process:
        try:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"Hi\n")
            process.stdin.flush()
            first = process.stdout.read(3)
            process.send_signal(signal.SIGINT)
            rest, told = process.communicate(b"/new\n/quit\n", timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, told.decode()
    stopped = (first + rest).decode().splitlines()[0]
    assert stopped == greedy_letters("Hi", len(stopped))
    assert 3 <= len(stopped) < 1 << 15


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_logits_of_every_position_are_written(hub: Path, tmp_path: Path, adapter: str) -> None:
    tokens = [72, 105, 257, 0, 33, 1, 2, 3, 4, 5]
    out = tmp_path / "logits.npy"
    ids = ",".join(map(str, tokens))
    run(
        "logits", "toy", "--tokens", ids, "--out", str(out), "--hub", str(hub), "--adapter", adapter
    )
    array = np.load(out)
    assert (array.shape, array.dtype) == ((10, VOCAB), np.float32)
    expected = [97 + likeliest(tokens[: i + 1]) for i in range(10)]
    np.testing.assert_array_equal(array.argmax(axis=1), expected)


def test_another_host_for_logits_gets_hub_model_scheme_and_tokens(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def host(folder: Path, id: str, scheme: str, tokens: list[int]) -> np.ndarray:
        asked.append((folder, id, scheme, tokens))
        return np.zeros((len(tokens), 2), np.float32)

    monkeypatch.setitem(cli.LOGITS_HOSTS, "abacus", host)
    out = str(tmp_path / "x.npy")
    run("logits", "toy", "--tokens", "1,2", "--out", out, "--hub", str(hub), "--host", "abacus")
    assert asked == [(hub, "toy", "f32", [1, 2])]


@pytest.mark.parametrize(
    "arguments",
    [("--tokens", "1,x"), ("--tokens", "-1"), ("--tokens", "1", "--host", "nowhere")],
)
def test_wrong_usage_of_logits_exits_with_2(hub: Path, arguments: tuple[str, ...]) -> None:
    command = ["logits", "toy", "--out", "x.npy", "--hub", str(hub), *arguments]
    assert CliRunner().invoke(cli.app, command).exit_code == 2


def test_bench_prints_the_numbers_as_json(hub: Path) -> None:
    sizes = ("--prompt", "20", "--new", "5", "--runs", "2")
    result = json.loads(run("bench", "toy", *sizes, "--hub", str(hub), "--json"))
    assert (result["id"], result["variant"], len(result["runs"])) == ("toy", "base", 2)
    assert all(value > 0 for value in result["runs"][0].values())


def test_bench_prints_a_table(hub: Path) -> None:
    out = run("bench", "toy", "--prompt", "20", "--new", "5", "--runs", "1", "--hub", str(hub))
    assert "tok/s" in out and "3 dispatches a token" in out


def test_synthetic_weights_need_no_chunks(tmp_path: Path) -> None:
    hub = write_toy_hub(tmp_path)
    for blob in (hub / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    options = ("--hub", str(hub), "--max-tokens", "3")
    assert run("chat", "toy", "--prompt", "Hi", "--synthetic", *options).strip()
    with pytest.raises(ModelpressError, match="blobs/"):
        run("chat", "toy", "--prompt", "Hi", *options)


def test_a_model_that_is_not_there_is_an_error_with_the_list(hub: Path) -> None:
    with pytest.raises(ModelpressError, match="it offers: toy"):
        run("chat", "nope", "--prompt", "Hi", "--hub", str(hub))
