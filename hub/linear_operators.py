"""The operators of linear attention with a recurrent state, as TIR; see `operators.py`.

Such a layer keeps no keys and values: what it has read is a state of fixed size, which every token
changes. States lie in buffers [RING + KEPT, ...] (see `runtime/plan.py`): a call that begins at
position pos reads place pos % RING and leaves what it has read up to pos + n in place
(pos + n) % RING; at position 0 the state is zero, whatever lies there.

Gated delta networks: arXiv 2412.06464; reference: transformers' Qwen3_5GatedDeltaNet.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import functools
from dataclasses import asdict, dataclass
from typing import Any

from tvm.tirx.script.builder import ir as B

from runtime.plan import KEPT_STATES, STATE_RING

from .tir import Function, activated, dot, local, operator, reads_all

PLACES = STATE_RING + KEPT_STATES
NORM_EPS = 1e-6
"""Of the norms of queries and keys."""


@dataclass(frozen=True, slots=True)
class DeltaShape:
    """The heads of a layer: as many of queries as of keys, each serving value_heads / key_heads
    heads of values in turn; `kernel` tokens meet in the convolution."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int

    @property
    def keys(self) -> int:
        """Elements of all keys."""
        return self.key_heads * self.key_dim

    @property
    def values(self) -> int:
        """Elements of all values."""
        return self.value_heads * self.value_dim

    @property
    def channels(self) -> int:
        """Of the convolution: queries, keys, values."""
        return 2 * self.keys + self.values


@functools.cache
def causal_conv(channels: int, width: int, kernel: int) -> Any:
    """out[i, c] = silu(the sum over j < kernel of weight[c, j] * x[i - kernel + 1 + j, c]), of the
    first `channels` of `width` columns; rows before the call come from the state.

    (x f32[n, width], weight f32[channels * kernel] by channel, state f32[PLACES, kernel - 1,
    channels], pos, out f32[n, channels]); the state holds the last kernel - 1 rows of x, the newest
    last.
    """
    held = kernel - 1

    def build(f: Function) -> None:
        x, weight = f.tensor((f.n, width)), f.tensor((channels * kernel,))
        state = f.tensor((PLACES, held, channels))
        pos, out = f.position(), f.tensor((f.n, channels))

        def row(i: Any, c: Any) -> Any:
            """Element c of row `i` of this call, of an earlier one where it is negative."""
            earlier = state[pos % STATE_RING, B.min(i + held, held - 1), c]
            earlier = B.if_then_else(pos > 0, earlier, B.float32(0))
            return B.if_then_else(i < 0, earlier, x[B.max(i, 0), c])

        with B.grid(f.n, channels) as (i, c), B.sblock("causal_conv"):
            vi, vc = B.axis.remap("SS", [i, c])
            reads_all(x, weight, state)
            B.writes(out[vi, vc])
            acc = local(1)
            dot(acc, 0, kernel, lambda j: weight[vc * kernel + j] * row(vi - held + j, vc))
            B.buffer_store(out, activated("silu", acc[0]), [vi, vc])
        with B.grid(held, channels) as (r, c), B.sblock("keep_rows"):
            vr, vc = B.axis.remap("SS", [r, c])
            # The state is read too, in another place; TVM's schedules know no places.
            reads_all(x)
            place = (pos + f.n) % STATE_RING
            B.writes(state[place, vr, vc])
            B.buffer_store(state, row(f.n - held + vr, vc), [place, vr, vc])

    return operator("causal_conv", {"channels": channels, "width": width, "kernel": kernel}, build)


@functools.cache
def delta_rule(shape: DeltaShape) -> Any:
    """The gated delta rule: for each token, with its query and key of length 1 (the query times
    key_dim ** -0.5), decay = exp(-exp(A) * softplus(a + bias)) and rate = sigmoid(b),

        state *= decay; state += key (x) rate * (value - key . state); out = query . state

    (mixed f32[n, channels], rates f32[n, 2 * value_heads], decays f32[2 * value_heads],
    state f32[PLACES, value_heads, key_dim, value_dim], pos, out f32[n, value_heads * value_dim]);
    a row of `rates` is b, then a; `decays` A, then bias; `mixed` queries, keys, values.
    """
    heads, keys, dim, values = shape.value_heads, shape.keys, shape.key_dim, shape.value_dim
    group = heads // shape.key_heads

    def build(f: Function) -> None:
        mixed, rates = f.tensor((f.n, shape.channels)), f.tensor((f.n, 2 * heads))
        decays, state = f.tensor((2 * heads,)), f.tensor((PLACES, heads, dim, values))
        pos, out = f.position(), f.tensor((f.n, heads * values))
        with B.grid(heads, values) as (h, j), B.sblock("delta_rule"):
            vh, vj = B.axis.remap("SS", [h, j])
            # And the state, as above.
            reads_all(mixed, rates, decays)
            after = (pos + f.n) % STATE_RING
            B.writes(out[0 : f.n, vh * values + vj], state[after, vh, 0:dim, vj])
            # now: the column of the state; acc: lengths of query and key, product, decay.
            now, acc = local(dim), local(4)
            with B.serial(0, dim) as k:
                before = state[pos % STATE_RING, vh, k, vj]
                B.buffer_store(now, B.if_then_else(pos > 0, before, B.float32(0)), [k])
            with B.serial(0, f.n) as i:
                query, key = vh // group * dim, keys + vh // group * dim
                for slot, start in ((0, query), (1, key)):
                    _inverse_length(acc, slot, mixed, i, start, dim)
                x = rates[i, heads + vh] + decays[heads + vh]
                B.buffer_store(acc, B.exp(-B.exp(decays[vh]) * _softplus(x)), [3])
                dot(acc, 2, dim, lambda k: now[k] * mixed[i, key + k])
                value = mixed[i, 2 * keys + vh * values + vj] - acc[2] * acc[3] * acc[1]
                B.buffer_store(acc, value * acc[1] * _sigmoid(rates[i, vh]), [2])
                with B.serial(0, dim) as k:
                    B.buffer_store(now, now[k] * acc[3] + mixed[i, key + k] * acc[2], [k])
                dot(acc, 2, dim, lambda k: now[k] * mixed[i, query + k])
                scaled = acc[2] * acc[0] * B.float32(dim**-0.5)
                B.buffer_store(out, scaled, [i, vh * values + vj])
            with B.serial(0, dim) as k:
                B.buffer_store(state, now[k], [after, vh, k, vj])

    return operator("delta_rule", asdict(shape), build)


def _inverse_length(acc: Any, slot: int, mixed: Any, i: Any, start: Any, dim: int) -> None:
    """acc[slot] = 1 / the length of `dim` elements of row `i` from `start` on."""
    dot(acc, slot, dim, lambda k: mixed[i, start + k] * mixed[i, start + k])
    B.buffer_store(acc, B.float32(1) / B.sqrt(acc[slot] + B.float32(NORM_EPS)), [slot])


def _softplus(x: Any) -> Any:
    return B.max(x, B.float32(0)) + B.log(B.float32(1) + B.exp(-B.max(x, -x)))


def _sigmoid(x: Any) -> Any:
    return B.float32(1) / (B.float32(1) + B.exp(B.min(-x, B.float32(80))))


@functools.cache
def gated_norm(heads: int, dim: int, width: int, start: int, eps: float) -> Any:
    """Each head divided by its root mean square, times the weight, times silu(gate); the gates are
    the columns of `gates` from `start` on.

    (x f32[n, heads * dim], gates f32[n, width], weight f32[dim], out f32[n, heads * dim])
    """

    def build(f: Function) -> None:
        x, gates = f.tensor((f.n, heads * dim)), f.tensor((f.n, width))
        weight, out = f.tensor((dim,)), f.tensor((f.n, heads * dim))
        with B.grid(f.n, heads * dim) as (i, j), B.sblock("gated_norm"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x, gates, weight)
            B.writes(out[vi, vj])
            acc, first = local(1), vj // dim * dim
            dot(acc, 0, dim, lambda k: x[vi, first + k] * x[vi, first + k])
            mean = acc[0] / B.float32(dim) + B.float32(eps)
            normed = x[vi, vj] / B.sqrt(mean) * weight[vj % dim]
            B.buffer_store(out, normed * activated("silu", gates[vi, start + vj]), [vi, vj])

    attrs = {"heads": heads, "dim": dim, "width": width, "start": start, "eps": eps}
    return operator("gated_norm", attrs, build)


@functools.cache
def without_gates(heads: int, head_dim: int, width: int) -> Any:
    """x whose first `heads` heads are each followed by their gate, without the gates.

    (x f32[n, width], out f32[n, width - heads * head_dim])
    """
    queries = heads * head_dim

    def build(f: Function) -> None:
        x, out = f.tensor((f.n, width)), f.tensor((f.n, width - queries))
        with B.grid(f.n, width - queries) as (i, j), B.sblock("without_gates"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(x)
            B.writes(out[vi, vj])
            column = B.if_then_else(vj < queries, vj + vj // head_dim * head_dim, vj + queries)
            B.buffer_store(out, x[vi, column], [vi, vj])

    return operator("without_gates", {"heads": heads, "head_dim": head_dim, "width": width}, build)


@functools.cache
def apply_gates(heads: int, head_dim: int, width: int) -> Any:
    """out = attended * sigmoid(gates), which lie in x as `without_gates` says.

    (attended f32[n, heads * head_dim], x f32[n, width], out f32[n, heads * head_dim])
    """
    queries = heads * head_dim

    def build(f: Function) -> None:
        attended, x = f.tensor((f.n, queries)), f.tensor((f.n, width))
        out = f.tensor((f.n, queries))
        with B.grid(f.n, queries) as (i, j), B.sblock("apply_gates"):
            vi, vj = B.axis.remap("SS", [i, j])
            reads_all(attended, x)
            B.writes(out[vi, vj])
            gate = x[vi, vj + (vj // head_dim + 1) * head_dim]
            B.buffer_store(out, attended[vi, vj] * _sigmoid(gate), [vi, vj])

    return operator("apply_gates", {"heads": heads, "head_dim": head_dim, "width": width}, build)


@functools.cache
def save_state(*dims: int) -> Any:
    """state[RING + slot] = state[pos % RING].   (state f32[PLACES, dims...], pos, slot)"""
    return _copied("save_state", dims)


@functools.cache
def restore_state(*dims: int) -> Any:
    """state[pos % RING] = state[RING + slot].   (state f32[PLACES, dims...], pos, slot)"""
    return _copied("restore_state", dims)


def _copied(name: str, dims: tuple[int, ...]) -> Any:
    def build(f: Function) -> None:
        state, pos, slot = f.tensor((PLACES, *dims)), f.position(), f.integer("slot")
        ring, kept = pos % STATE_RING, slot + STATE_RING
        source, target = (ring, kept) if name == "save_state" else (kept, ring)
        with B.grid(*dims) as indices, B.sblock(name):
            at = B.axis.remap("S" * len(dims), list(indices))
            # And the state, as above.
            B.reads()
            B.writes(state[(target, *at)])
            B.buffer_store(state, state[(source, *at)], [target, *at])

    return operator(name, {"dims": "x".join(map(str, dims))}, build)
