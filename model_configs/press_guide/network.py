"""The Llama network of press-guide for training: plain torch, names as in the checkpoint.

Attention is confined to a row's dialogues by an explicit mask. `strength` is how far the
matrices are moved towards their int4 rounding in this step (0 or 1).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .architecture import Architecture, tensor_shapes
from .quantization import with_rounding


class Network(nn.Module):  # type: ignore[misc]
    """Token rows in, weighted cross entropy out. Norms are vectors, all else is quantized."""

    def __init__(self, shape: Architecture, dropout: float) -> None:
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.weights = nn.ParameterDict()
        for name, size in tensor_shapes(shape).items():
            self.weights[_key(name)] = nn.Parameter(_initial(name, size, shape))

    def forward(self, rows: "Batch", strength: Tensor) -> Tensor:
        """The mean loss of predicting each next token, weighted."""
        embedding = with_rounding(self._weight("model.embed_tokens.weight"), strength)
        hidden = functional.embedding(rows.tokens, embedding)
        mask = attention_mask(rows.dialogue)
        turn = rotation(rows.position, self.shape)
        for layer in range(self.shape.num_hidden_layers):
            hidden = self._layer(hidden, f"model.layers.{layer}.", mask, turn, strength)
        hidden = self._norm(hidden, "model.norm.weight")
        logits = functional.linear(hidden[:, :-1], embedding)
        loss = functional.cross_entropy(
            logits.float().flatten(0, 1), rows.tokens[:, 1:].flatten(), reduction="none"
        )
        weight = rows.weight[:, 1:].flatten()
        return (loss * weight).sum() / weight.sum()

    def _layer(
        self,
        hidden: Tensor,
        name: str,
        mask: Tensor,
        turn: tuple[Tensor, Tensor],
        strength: Tensor,
    ) -> Tensor:
        def linear(x: Tensor, matrix: str) -> Tensor:
            weight = with_rounding(self._weight(f"{name}{matrix}.weight"), strength)
            return functional.linear(x, weight)

        x = self._norm(hidden, f"{name}input_layernorm.weight")
        query, key, value = (linear(x, f"self_attn.{part}_proj") for part in "qkv")
        mixed = attend(query, key, value, mask, turn, self.shape)
        hidden = hidden + self._dropped(linear(mixed, "self_attn.o_proj"))
        x = self._norm(hidden, f"{name}post_attention_layernorm.weight")
        gate = functional.silu(linear(x, "mlp.gate_proj")) * linear(x, "mlp.up_proj")
        return hidden + self._dropped(linear(gate, "mlp.down_proj"))

    def _weight(self, name: str) -> Tensor:
        return self.weights[_key(name)]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return functional.rms_norm(
            x.float(), (x.shape[-1],), self._weight(name), self.shape.rms_norm_eps
        )

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)

    def tensors(self) -> dict[str, Tensor]:
        """The weights under the names of a Hugging Face checkpoint."""
        return {name: self._weight(name).detach() for name in tensor_shapes(self.shape)}


class Batch:
    """Rows on the device that trains."""

    def __init__(self, tokens: Tensor, dialogue: Tensor, position: Tensor, weight: Tensor) -> None:
        self.tokens, self.dialogue, self.position, self.weight = tokens, dialogue, position, weight


def _initial(name: str, size: tuple[int, ...], shape: Architecture) -> Tensor:
    if len(size) == 1:
        return torch.ones(size)
    deep = name.endswith(("o_proj.weight", "down_proj.weight"))
    return torch.randn(size) * 0.02 / ((2 * shape.num_hidden_layers) ** 0.5 if deep else 1.0)


def _key(name: str) -> str:
    return name.replace(".", "_")


def attention_mask(dialogue: Tensor) -> Tensor:
    """True where a token may look: back, and within its own dialogue; (rows, 1, length, length)."""
    length = dialogue.shape[1]
    back = torch.ones(length, length, dtype=torch.bool, device=dialogue.device).tril()
    same = dialogue[:, :, None] == dialogue[:, None, :]
    return (same & back)[:, None]


def rotation(position: Tensor, shape: Architecture) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the rotary embedding, (rows, 1, length, head_dim)."""
    steps = torch.arange(0, shape.head_dim, 2, device=position.device).float() / shape.head_dim
    angles = position.float()[..., None] / shape.rope_theta**steps
    angles = torch.cat((angles, angles), -1)[:, None]
    return angles.cos(), angles.sin()


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    turn: tuple[Tensor, Tensor],
    shape: Architecture,
) -> Tensor:
    """Grouped-query attention over flat projections, (rows, length, heads * head_dim)."""

    def heads(x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, shape.head_dim)).transpose(1, 2)

    groups = shape.num_attention_heads // shape.num_key_value_heads
    q = rotate(heads(query), turn)
    k = rotate(heads(key), turn).repeat_interleave(groups, 1)
    v = heads(value).repeat_interleave(groups, 1)
    mixed = functional.scaled_dot_product_attention(q, k.to(v.dtype), v, attn_mask=mask)
    return mixed.transpose(1, 2).flatten(-2)


def rotate(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding in the half-split layout of Llama checkpoints."""
    cosine, sine = turn
    first, second = x.chunk(2, -1)
    return (x * cosine + torch.cat((-second, first), -1) * sine).to(x.dtype)
