"""`embeddings.create`: texts made into tokens, vectors made into OpenAI's response.

Knows prompts, special tokens and the shape of OpenAI's JSON; not devices.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from typing import Any

from .abort import AbortSignal
from .embedding_request import EmbeddingRequest, Input
from .encoder import Vector
from .engine import Engine
from .errors import FormatError, ModelpressError
from .loading import LoadedModel
from .manifest import Embedding
from .sampling import bad_param
from .tokenizer import Tokenizer


async def create_embeddings(
    engine: Engine, request: EmbeddingRequest, signal: AbortSignal | None = None
) -> dict[str, Any]:
    """OpenAI's list of `embedding` objects, in the order of the request's input.

    Raises ModelpressError "context_length_exceeded" naming the limit for what is too long and not
    to be cut, "bad_request" for what the model cannot do.
    """
    signal = signal or AbortSignal()
    async with engine.encoder(request.model, signal) as model:
        encoder = model.encoder
        _check_dimensions(request, encoder.embedding)
        texts = tokens_of(request, model)
        vectors = await encoder.embed(texts, signal=signal, on_progress=engine.on_progress)
        vectors = [shortened(v, request.dimensions, encoder.embedding) for v in vectors]
    count = sum(map(len, texts))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _written(vector, request)}
            for index, vector in enumerate(vectors)
        ],
        "model": model.documents.entry.id,
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def tokens_of(request: EmbeddingRequest, model: LoadedModel) -> list[list[int]]:
    """The token ids of each input, its prompt and special tokens included."""
    tokenizer, encoder = model.documents.tokenizer, model.encoder
    if tokenizer is None:
        raise FormatError(
            f"manifest.json of {model.documents.entry.id}",
            "has no tokenizer.json; build it again from a checkpoint that has one",
        )
    prompt = _prompt(request, encoder.embedding)
    single = len(request.inputs) == 1
    return [
        _tokens(
            item,
            tokenizer,
            prompt=prompt,
            limit=encoder.context,
            where="input" if single else f"input[{index}]",
            truncate=request.truncate,
        )
        for index, item in enumerate(request.inputs)
    ]


def shortened(vector: Vector, dimensions: int | None, embedding: Embedding) -> Vector:
    """The first `dimensions` numbers (arXiv 2205.13147), of length 1 again where the model's
    vectors have that."""
    if dimensions is None or dimensions == len(vector):
        return vector
    part = vector[:dimensions]
    if not embedding.normalized:
        return part
    size = max(math.sqrt(math.fsum(x * x for x in part)), 1e-12)
    return array("f", (x / size for x in part))


def _check_dimensions(request: EmbeddingRequest, embedding: Embedding) -> None:
    if request.dimensions is not None and request.dimensions > embedding.width:
        raise bad_param(
            "dimensions", f"dimensions may be at most {embedding.width}, what the model makes"
        )


def _prompt(request: EmbeddingRequest, embedding: Embedding) -> str:
    name = request.prompt_name or embedding.default_prompt
    if name is None:
        return ""
    if name not in embedding.prompts:
        known = ", ".join(map(repr, embedding.prompts)) or "none"
        raise bad_param("prompt_name", f"this model has no prompt {name!r}; it has: {known}")
    return embedding.prompts[name]


def _tokens(
    item: Input, tokenizer: Tokenizer, *, prompt: str, limit: int, where: str, truncate: bool
) -> list[int]:
    text = prompt + item if isinstance(item, str) else ""
    ids = tokenizer.encode_whole(text) if isinstance(item, str) else list(item)
    if not ids:
        raise bad_param(where, f"{where} makes no token")
    if len(ids) <= limit:
        return ids
    if not truncate:
        raise ModelpressError(
            "context_length_exceeded",
            f"{where} has {len(ids)} tokens, special ones included, and this model reads at most "
            f"{limit}; shorten it, split it, or ask with truncate: true",
            details={"param": where, "tokens": len(ids), "limit": limit},
        )
    return _cut(ids, tokenizer.encode(text), limit) if text else ids[:limit]


def _cut(ids: list[int], bare: list[int], limit: int) -> list[int]:
    """`ids`, of which `bare` are without special tokens around them, with as many of those as
    leave room for these."""
    special = len(ids) - len(bare)
    for start in range(special + 1):
        if ids[start : start + len(bare)] == bare and special < limit:
            return ids[:start] + bare[: limit - special] + ids[start + len(bare) :]
    raise ModelpressError(
        "bad_request",
        "this model's tokenizer changes a text where it adds special tokens: it cannot be cut; "
        "shorten it",
        details={"param": "truncate"},
    )


def _written(vector: Vector, request: EmbeddingRequest) -> list[float] | str:
    """Numbers, or the base64 of their little-endian bytes."""
    if request.encoding_format == "float":
        return vector.tolist()
    if sys.byteorder == "big":
        vector = array("f", vector)
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
