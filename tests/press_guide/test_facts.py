"""The intents: enough of them, each with enough to say, and read strictly."""

from pathlib import Path

import pytest

from model_configs.press_guide import facts
from model_configs.press_guide.expansion import expansions
from model_configs.press_guide.facts import Intent, intents, project_intents
from model_configs.press_guide.phrasings import (
    TASK_FRAMES,
    TOPIC_FRAMES,
    held_out_framed,
)


def phrasings(intent: Intent) -> int:
    """How many whole training templates ask for an intent, frames included."""
    framed = len(TOPIC_FRAMES) * len(intent.topics) + len(TASK_FRAMES) * len(intent.tasks)
    return len(intent.asks) + framed


def test_there_are_at_least_eighty_project_intents() -> None:
    assert len(project_intents()) >= 80


@pytest.mark.parametrize("intent", intents(), ids=lambda intent: intent.id)
def test_every_intent_can_be_asked_in_many_ways(intent: Intent) -> None:
    assert phrasings(intent) >= 9
    assert len({text for template in intent.asks for text in expansions(template)}) >= 30
    assert len(intent.held_out) >= 3
    assert 2 <= len(intent.answers) <= 4


@pytest.mark.parametrize("intent", project_intents(), ids=lambda intent: intent.id)
def test_every_project_intent_has_frames_follow_ups_and_key_words(intent: Intent) -> None:
    assert phrasings(intent) >= 30
    assert held_out_framed(intent)
    assert intent.follow_ups
    assert len(intent.words) >= 2


def test_hardly_any_question_belongs_to_two_intents() -> None:
    owners: dict[str, set[str]] = {}
    for intent in intents():
        for text in {text for template in intent.asks for text in expansions(template)}:
            owners.setdefault(text, set()).add(intent.id)
    shared = [text for text, names in owners.items() if len(names) > 1]
    assert len(shared) < len(owners) / 1000, shared


def write(folder: Path, content: str) -> Path:
    for name in ("wordings", "held_out"):
        (folder / name).mkdir()
        (folder / name / "project.toml").write_text('a = ["x", "y", "z"]' * (name == "held_out"))
    path = folder / "project.toml"
    path.write_text(content)
    return path


def read(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Intent, ...]:
    monkeypatch.setattr(facts, "WORDINGS", path.parent / "wordings")
    monkeypatch.setattr(facts, "HELD_OUT", path.parent / "held_out")
    return facts.read_intents(path)


def test_an_unknown_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, '[[intent]]\nid="a"\nasks=["q"]\nanswers=["x"]\nkeys=[]\nmood=["?"]')
    with pytest.raises(ValueError, match="unknown keys"):
        read(path, monkeypatch)


def test_an_answer_without_its_key_words_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, '[[intent]]\nid="a"\nasks=["q"]\nanswers=["no"]\nkeys=[["yes"]]')
    with pytest.raises(ValueError, match="fails its keys"):
        read(path, monkeypatch)


def test_an_intent_without_held_out_questions_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, '[[intent]]\nid="b"\nasks=["q"]\nanswers=["x"]\nkeys=[]')
    with pytest.raises(ValueError, match="unknown or without questions"):
        read(path, monkeypatch)
