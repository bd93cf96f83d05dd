"""What a build does about the processor where it can, and where it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from hub.cpu import link
from hub.cpu.backend import VARIANTS, Processor
from hub.cpu.press import press_processor
from hub.errors import DoesNotFitError, ToolError
from runtime.plan import Buffer, Expr, Plan
from runtime.processor import MEMORY


def nothing_fits(*, variants: tuple[str, ...], keep: Callable[[bytes], None]) -> tuple[Plan, ...]:
    raise DoesNotFitError("too large")


def one_module(*, variants: tuple[str, ...], keep: Callable[[bytes], None]) -> tuple[Plan, ...]:
    assert variants == VARIANTS
    keep(b"code")
    return ()


def test_modules_are_handed_on_with_their_plans() -> None:
    assert press_processor("m", None, one_module) == ((), (b"code",))
    assert press_processor("m", False, one_module) == ((), ())


def test_without_a_linker_the_build_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert press_processor("m", None, one_module) == ((), ())
    assert "modelpress[cpu]" in caplog.text
    with pytest.raises(ToolError, match="ziglang"):
        press_processor("m", True, one_module)


def test_a_model_that_does_not_fit_is_left_out_unless_it_is_demanded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert press_processor("m", None, nothing_fits) == ((), ())
    assert "too large" in caplog.text
    with pytest.raises(DoesNotFitError):
        press_processor("m", True, nothing_fits)


def test_memory_counts_one_page_and_stays_below_4_gib() -> None:
    backend = Processor("cpu", lambda module: None)
    cache = Buffer("k", "kv", "f32", Expr(("*", Expr(1024), Expr("pages"))))
    weights = Buffer("w", "weight", "u32", Expr(4096))
    assert backend.limits((weights, cache), (), {}, pages=8)[MEMORY] == 5120
    with pytest.raises(DoesNotFitError, match="WebAssembly"):
        backend.limits((Buffer("w", "weight", "u32", Expr(2**32 + 4)),), (), {}, pages=8)
