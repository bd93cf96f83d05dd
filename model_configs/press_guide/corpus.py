"""Dialogues as token rows: encoded in parallel, packed several to a row, never split.

A row carries for each token its dialogue (attention does not cross dialogues), its position in
that dialogue, and the weight of predicting it: 1 in an assistant's turn, little elsewhere.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .dialogues import Dialogue, dialogues
from .tokenizer import SPECIAL_TOKENS, TURN_END, TURN_START

IDS = NDArray[np.int32]
OTHER_WEIGHT = 0.05
SHARD = 2000
OPEN_ROWS = 48
START_ID = SPECIAL_TOKENS.index(TURN_START)
END_ID = SPECIAL_TOKENS.index(TURN_END)


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed rows, all of shape (rows, length); padding has dialogue -1 and weight 0."""

    tokens: IDS
    dialogue: IDS
    position: IDS
    weight: NDArray[np.float32]


def text_of(dialogue: Dialogue) -> str:
    """The dialogue as the chat template writes it."""
    turns = (
        f"{TURN_START}{m['role']}\n{m['content'].strip()}{TURN_END}\n" for m in dialogue.messages()
    )
    return "".join(turns)


def encode_dialogues(tokenizer: Path, count: int, seed: int, workers: int) -> list[IDS]:
    """Token ids of dialogues 0 to `count` of `seed`, in order, whatever the number of workers."""
    shards = [
        (tokenizer, first, min(first + SHARD, count), seed) for first in range(0, count, SHARD)
    ]
    if workers == 1:
        return [ids for shard in shards for ids in _encode_shard(shard)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [ids for part in pool.map(_encode_shard, shards) for ids in part]


def _encode_shard(shard: tuple[Path, int, int, int]) -> list[IDS]:
    path, first, last, seed = shard
    tokenizer = Tokenizer.from_file(str(path))
    texts = [text_of(dialogue) for dialogue in dialogues(first, last, seed)]
    return [np.array(tokenizer.encode(text).ids, dtype=np.int32) for text in texts]


def weights_of(ids: IDS, assistant_id: int) -> NDArray[np.float32]:
    """1 from the first word of an assistant's turn to its end token, `OTHER_WEIGHT` elsewhere."""
    weight = np.full(len(ids), OTHER_WEIGHT, dtype=np.float32)
    for start in np.flatnonzero(ids == START_ID):
        if ids[start + 1] == assistant_id:
            end = start + int(np.argmax(ids[start:] == END_ID))
            weight[start + 3 : end + 1] = 1.0
    return weight


def pack(encoded: Sequence[IDS], length: int, assistant_id: int) -> Rows:
    """First fit into rows of `length`; dialogues that are longer are left out."""
    bins = list(_first_fit(encoded, length))
    shape = (len(bins), length)
    rows = Rows(
        np.zeros(shape, np.int32),
        np.full(shape, -1, np.int32),
        np.zeros(shape, np.int32),
        np.zeros(shape, np.float32),
    )
    for row, members in enumerate(bins):
        at = 0
        for number, member in enumerate(members):
            ids = encoded[member]
            place = slice(at, at + len(ids))
            rows.tokens[row, place] = ids
            rows.dialogue[row, place] = number
            rows.position[row, place] = np.arange(len(ids))
            rows.weight[row, place] = weights_of(ids, assistant_id)
            rows.weight[row, at] = 0.0
            at += len(ids)
    return rows


def _first_fit(encoded: Sequence[IDS], length: int) -> Iterable[list[int]]:
    """Indices of the dialogues that share a row."""
    open_rows: list[tuple[int, list[int]]] = []
    for index, ids in enumerate(encoded):
        if len(ids) > length:
            continue
        for at, (room, members) in enumerate(open_rows):
            if room >= len(ids):
                members.append(index)
                open_rows[at] = (room - len(ids), members)
                break
        else:
            if len(open_rows) == OPEN_ROWS:
                fullest = min(range(OPEN_ROWS), key=lambda at: open_rows[at][0])
                yield open_rows.pop(fullest)[1]
            open_rows.append((length - len(ids), [index]))
    yield from (members for _, members in open_rows)
