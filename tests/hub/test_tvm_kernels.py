"""TVM's kernels: launches read from the host function, and text that WGSL accepts."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import pytest
from tvm import tirx

from hub import attention_operators, operators
from hub.errors import CompileError
from hub.tvm_kernels import _check_text, _fold, lower, read_expr
from runtime.plan import Expr

N = {"n": Expr("n"), "pos": Expr("pos"), "pages": Expr("pages")}


def test_a_launch_binds_parameters_and_symbols() -> None:
    lowered = lower("matmul", operators.matmul("q4", 96, 64, 0, 96, "add"), N)
    (launch,) = lowered.launches
    assert sorted(launch.buffers, key=str) == [0, 1, 2, 3, 4]
    assert [launch.buffers[i] for i in launch.writes] == [4]
    assert launch.pods[-1][0] == "u32"
    assert ("i32", Expr("n")) in launch.pods
    workgroups = launch.grid[0].evaluate({"n": 3}) * launch.grid[2].evaluate({"n": 3})
    assert workgroups * 256 >= 3 * 96


def test_two_blocks_are_two_launches() -> None:
    heads = attention_operators.Heads(4, 2, 16, rotary=16, table=16)
    func = attention_operators.rope_append(heads, 16, "f16", 64)
    lowered = lower("rope_append", func, N)
    assert len(lowered.launches) == 2
    assert "enable f16;" in lowered.launches[1].wgsl


def test_expressions_of_known_symbols_only() -> None:
    n = tirx.Var("n", "int64")
    assert read_expr((n * 160 + 255) // 256, N, "here").evaluate({"n": 2}) == 2
    with pytest.raises(CompileError, match="stranger"):
        read_expr(tirx.Var("stranger", "int64") + 1, N, "here")


def test_a_grid_over_the_limit_is_spread_over_z() -> None:
    x, y, z = _fold(Expr("n"), Expr(1))
    for n in (0, 1, 65535, 65536, 200_000):
        symbols = {"n": n}
        wide, deep = x.evaluate(symbols), z.evaluate(symbols)
        assert wide <= 65535
        assert n <= wide * deep < n + deep
        assert y == Expr(1)


@pytest.mark.parametrize(
    "text",
    [
        "@group(0) @binding(0) var<storage, read> a_ptr : array<i8>;",
        "let x : f32 = -inff;",
    ],
)
def test_text_that_is_not_wgsl_is_refused(text: str) -> None:
    with pytest.raises(CompileError):
        _check_text("kernel", text)
