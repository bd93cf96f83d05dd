"""The ops of a whole model of the Llama architecture, as its plan asks for them, and those that
others add."""

from __future__ import annotations

from collections.abc import Callable

from hub.kernels import Op, Profile

Attrs = dict[str, int | float | str | bool]


def other_ops(profile: Profile) -> list[Op]:
    """What models of other architectures ask for and no Llama has, in small."""
    dtype = "f16" if profile.f16 else "f32"
    heads: Attrs = {"heads": 4, "kv_heads": 2, "head_dim": 24, "page_size": 16, "kv_dtype": dtype}
    turned: Attrs = heads | {"context": 64, "rotary": 12, "table": 12}
    product: Attrs = {"scheme": "q4", "rows": 96, "cols": 64, "start": 0, "out_cols": 96}
    calls: list[tuple[str, Attrs]] = [
        ("layer_norm", {"cols": 640, "eps": 1e-5}),
        ("add_positions", {"rows": 64, "cols": 96}),
        ("rope_append", heads | {"context": 0, "rotary": 0, "table": 0}),
        ("rope_append", turned | {"growth": 0.1, "every": 16}),
        ("rope_append", turned | {"qk_norm": "layer", "eps": 1e-5}),
        ("rope_append", turned | {"qk_norm": "layers", "eps": 1e-5}),
        ("matmul", product | {"epilogue": "none", "bias": True, "activation": "gelu"}),
        ("matmul", product | {"epilogue": "none", "bias": True, "activation": "gelu_tanh"}),
        ("gate_inputs", {"size": 256, "width": 8960, "start": 512}),
        ("causal_conv", {"channels": 8192, "width": 12288, "kernel": 4}),
        ("delta_rule", {"key_heads": 16, "value_heads": 32, "key_dim": 128, "value_dim": 128}),
        ("delta_rule", {"key_heads": 2, "value_heads": 2, "key_dim": 256, "value_dim": 64}),
        ("gated_norm", {"heads": 32, "dim": 128, "width": 12288, "start": 8192, "eps": 1e-6}),
    ]
    both = [Op(name, {**attrs, "n": n}) for n in (1, "n") for name, attrs in calls]
    both += row_ops(heads, turned, product)
    if profile.software:
        return both
    handed: Attrs = {"encoding": "i16", "scheme": "q4", "n": 1, "parts": "0:96", "epilogue": "none"}
    handed |= {"cols": 64, "out_cols": 96, "bias": True, "results": "packed"}
    kinds = ("gelu", "gelu_tanh")
    layer: Attrs = {"cols": 640, "eps": 1e-5, "encoding": "i16"}
    both.append(Op("pack_layer_norm", layer))
    return [*both, *(Op("packed_matmul", handed | {"activation": kind}) for kind in kinds)]


def row_ops(heads: Attrs, turned: Attrs, product: Attrs) -> list[Op]:
    """What decoding several sequences together asks for besides."""
    seats: Attrs = {"seats": 4, "stride": 4, "n": "n"}
    few: Attrs = {"few": 4, "n": "n"}
    attends: Attrs = heads | {"window": 0, "scale": 0.25}
    gated: Attrs = {"scheme": "q3", "rows": 192, "cols": 64, "activation": "silu"}
    return [
        Op("rope_append_rows", turned | seats),
        Op("rope_append_rows", turned | seats | {"qk_norm": "head", "eps": 1e-5}),
        Op("attention_rows", attends | seats),
        Op("attention_rows", attends | seats | {"softcap": 30.0, "window": 20}),
        Op("add_positions_rows", {"rows": 64, "cols": 96, "n": "n"}),
        Op("copy_words", {"words": 96, "source": "row", "target": ""}),
        Op("copy_words", {"words": 1, "source": "", "target": "row"}),
        Op("matmul", product | few | {"epilogue": "add", "bias": True}),
        Op("gate_up", gated | few),
    ]


def llama_ops(
    *, hidden: int, heads: int, kv_heads: int, head_dim: int, features: int, vocab: int
) -> Callable[[Profile], list[Op]]:
    """A function of the profile: every op for one token and for many, under q4."""

    def linear(rows: int, cols: int, epilogue: str) -> Attrs:
        return {
            "scheme": "q4",
            "rows": rows,
            "cols": cols,
            "start": 0,
            "out_cols": rows,
            "epilogue": epilogue,
        }

    def layer(profile: Profile) -> list[tuple[str, Attrs]]:
        cache: Attrs = {
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": head_dim,
            "page_size": 16,
            "kv_dtype": "f16" if profile.f16 else "f32",
        }
        width = heads * head_dim
        table: Attrs = {"scheme": "q4", "rows": vocab, "cols": hidden, "start": 0, "total": vocab}
        gates: Attrs = {"scheme": "q4", "rows": 2 * features, "cols": hidden, "activation": "silu"}
        return [
            ("embedding", table),
            ("rms_norm", {"cols": hidden, "eps": 1e-5}),
            ("layer_norm", {"cols": hidden, "eps": 1e-5}),
            ("matmul", linear(width + 2 * kv_heads * head_dim, hidden, "none")),
            ("rope_append", cache | {"context": 8704}),
            ("attention", cache | {"window": 0, "scale": head_dim**-0.5}),
            ("attention", cache | {"window": 50, "scale": head_dim**-0.5}),
            ("matmul", linear(hidden, width, "add")),
            ("gate_up", gates),
            ("matmul", linear(hidden, features, "add")),
            *mixture(),
        ]

    def mixture() -> list[tuple[str, Attrs]]:
        """A layer of experts, the second half of them in a part of their own."""
        narrow = features // 8
        common: Attrs = {"scheme": "q4", "features": narrow, "experts": 64, "top": 8}
        gates: Attrs = common | {"cols": hidden, "activation": "silu"}
        down: Attrs = common | {"rows": hidden}
        return [
            ("route", {"total": 128, "top": 8}),
            ("route", {"total": 128, "top": 8, "renormalize": True}),
            ("expert_gate_up", gates | {"start": 0}),
            ("expert_gate_up", gates | {"start": 64}),
            ("expert_down", down | {"start": 0, "epilogue": "add"}),
            ("expert_down", down | {"start": 64, "epilogue": "accumulate"}),
        ]

    def packed(profile: Profile) -> list[Op]:
        """The decode step once more, rows handed on packed."""
        if profile.software:
            return []
        layers = dict(layer(profile))
        attention: Attrs = {**layers["rope_append"], **layers["attention"]}
        width = heads * head_dim
        rows = width + 2 * kv_heads * head_dim
        found: list[Op] = []
        for encoding in ("i16", "f32"):
            common: Attrs = {"encoding": encoding, "scheme": "q4", "n": 1}
            qkv: Attrs = {"cols": hidden, "out_cols": rows, "parts": f"0:{rows}", "eps": 1e-5}
            down: Attrs = {
                "cols": features,
                "out_cols": hidden,
                "parts": f"0:{hidden}",
                "norm": True,
            }
            gates: Attrs = {"cols": hidden, "rows": 2 * features, "activation": "silu", "eps": 1e-5}
            head: Attrs = {"cols": hidden, "out_cols": vocab, "parts": f"0:{vocab}", "eps": 1e-5}
            found += [
                Op("pack", {"cols": hidden, "encoding": encoding, "norm": True}),
                Op("packed_matmul", common | qkv | {"epilogue": "none", "results": "out"}),
                Op("decode_attention", {**attention, "encoding": encoding, "n": 1}),
                Op("packed_gate_up", common | gates | {"results": "packed"}),
                Op("packed_matmul", common | down | {"epilogue": "add", "results": "out+packed"}),
                Op("packed_matmul", common | head | {"epilogue": "none", "results": "out"}),
            ]
        return found

    def ops(profile: Profile) -> list[Op]:
        both = [Op(name, {**attrs, "n": n}) for n in (1, "n") for name, attrs in layer(profile)]
        head = [
            Op("last_row", {"cols": hidden, "n": "n"}),
            Op("encoder_attention", {"heads": heads, "head_dim": 32, "scale": 0.1, "n": "n"}),
            Op("pool", {"cols": hidden, "pooling": "mean", "normalized": True, "n": "n"}),
            Op("matmul", {**linear(vocab, hidden, "none"), "n": 1}),
            Op("argmax", {"vocab": vocab}),
            Op("sample", {"vocab": vocab}),
            Op("count", {"vocab": vocab, "n": "n"}),
            Op("reset", {"vocab": vocab}),
            Op("logprobs", {"vocab": vocab}),
            Op("chosen", {"vocab": vocab}),
            Op("bias", {"vocab": vocab}),
            Op("mask", {"vocab": vocab}),
        ]
        fills: list[Attrs] = [
            {"kind": kind, "count": vocab * hidden // 8}
            for kind in ("bits", "scales", "halves", "uniform", "ones")
        ]
        fills.append({"kind": "rope", "count": 8704 * head_dim, "half": head_dim // 2})
        return [*both, *packed(profile), *head, *(Op("fill", attrs) for attrs in fills)]

    return ops
