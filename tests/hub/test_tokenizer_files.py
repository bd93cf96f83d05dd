"""Chat documents: templates wherever tools leave them, the ids that stop, the synthetic set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from hub.errors import CheckpointError, UnsupportedError
from hub.synthetic import byte_letters, tokenizer_files
from hub.tokenizer_files import TEMPLATE, TokenizerFiles
from runtime.chat import ChatTemplate, Message


def folder_with(path: Path, **documents: Any) -> Path:
    tokenizer = {"added_tokens": [{"id": 7, "content": "<end>"}]}
    for name, data in {"tokenizer": tokenizer, **documents}.items():
        (path / f"{name}.json").write_text(json.dumps(data))
    return path


def test_stop_ids_come_from_every_file(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path,
        generation_config={"eos_token_id": [3, 4]},
        tokenizer_config={"eos_token": {"content": "<end>"}},
    )
    files = TokenizerFiles.open(folder, {"eos_token_id": 5, "bos_token_id": 1})
    assert files.stop_token_ids == (3, 4, 5, 7)
    assert files.bos_token_id == 1


def test_a_template_file_wins_over_the_settings(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, tokenizer_config={"chat_template": "settings"})
    assert TokenizerFiles.open(folder, {}).documents[TEMPLATE] == b"settings"
    (folder / TEMPLATE).write_text("file")
    assert TokenizerFiles.open(folder, {}).documents[TEMPLATE] == b"file"


def test_the_default_of_several_templates_is_taken(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]
    folder = folder_with(tmp_path, tokenizer_config={"chat_template": named})
    assert TokenizerFiles.open(folder, {}).documents[TEMPLATE] == b"d"


def test_templates_without_default_are_refused(tmp_path: Path) -> None:
    named = [{"name": "tools", "template": "t"}]
    folder = folder_with(tmp_path, tokenizer_config={"chat_template": named})
    with pytest.raises(CheckpointError, match=r"no 'default'; write the one to use"):
        TokenizerFiles.open(folder, {})


def test_a_base_model_has_no_template(tmp_path: Path) -> None:
    files = TokenizerFiles.open(folder_with(tmp_path), {})
    assert TEMPLATE not in files.documents
    assert files.bos_token_id is None


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: missing"):
        TokenizerFiles.open(tmp_path, {})


def test_ids_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not whole numbers"):
        TokenizerFiles.open(folder_with(tmp_path), {"eos_token_id": "two"})


def test_every_byte_has_its_own_letter() -> None:
    assert len(set(byte_letters().values())) == 256
    assert byte_letters()[ord(" ")] == "Ġ"


@given(text=st.text())
def test_the_synthetic_tokenizer_reads_and_writes_any_text(text: str) -> None:
    tokenizer = Tokenizer.from_str(tokenizer_files(300).documents["tokenizer.json"].decode())
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert "<|im" in text or ids == list(text.encode())
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_synthetic_template_ends_turns_with_the_stop_token() -> None:
    files = tokenizer_files(300)
    template = ChatTemplate.compile(files.documents[TEMPLATE].decode())
    text = template.render([Message("user", "Hi")])
    tokenizer = Tokenizer.from_str(files.documents["tokenizer.json"].decode())
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert files.stop_token_ids == (258,)
    assert ids.count(258) == 1
    assert ids[0] == 257


def test_a_vocabulary_too_small_for_bytes_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="at least 259 tokens; this model has 100"):
        tokenizer_files(100)


@pytest.mark.parametrize("added", [["<end>"], [{"content": "<end>"}], {"<end>": 7}])
def test_added_tokens_of_another_form_are_refused(tmp_path: Path, added: Any) -> None:
    """They ended the build with a bare KeyError or AttributeError."""
    folder = folder_with(tmp_path, tokenizer={"added_tokens": added})
    with pytest.raises(CheckpointError, match="added_tokens"):
        TokenizerFiles.open(folder, {})


def test_a_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It ended the build with a bare UnicodeDecodeError."""
    (folder_with(tmp_path) / TEMPLATE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not readable text"):
        TokenizerFiles.open(tmp_path, {})
