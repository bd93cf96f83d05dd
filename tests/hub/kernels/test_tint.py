"""Chromium's WGSL compiler takes every text: it is stricter than wgpu's about uniformity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser

from hub.kernels import PROFILES, dispatches, kernel_for
from tests.hub.kernels.catalogue import other_ops
from tests.hub.kernels.matrix_emulation import emulated
from tests.hub.kernels.test_library import LLAMA

CHECK = """async ({texts, pipelines}) => {
  const adapter = await navigator.gpu.requestAdapter();
  const wanted = ["shader-f16", "subgroups"].filter((name) => adapter.features.has(name));
  const device = await adapter.requestDevice({requiredFeatures: wanted});
  const began = performance.now();
  const check = async (code) => {
    const module = device.createShaderModule({code});
    const {messages} = await module.getCompilationInfo();
    if (messages.length > 0) {
      return messages.map((m) => `${m.type} ${m.lineNum}: ${m.message}`).join("\\n");
    }
    if (!pipelines) return "";
    const compute = {module, entryPoint: "main"};
    return device.createComputePipelineAsync({layout: "auto", compute})
      .then(() => "", (error) => String(error));
  };
  const complaints = await Promise.all(texts.map(check));
  return {complaints, wanted, milliseconds: performance.now() - began};
}"""


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Any:
    """An empty page of a secure context, which is where WebGPU exists."""
    page = chromium.new_page()
    page.route("**/*", lambda route: route.fulfill(body="<html></html>", content_type="text/html"))
    page.goto("http://localhost/")
    yield page
    page.close()


def texts(profile: str, *schemes: str) -> list[str]:
    """Of every op under q4, and again of those with weights under `schemes`."""
    ops = [*LLAMA["tiny"](PROFILES[profile]), *other_ops(PROFILES[profile])]
    weighted = [op for op in ops if "scheme" in op.attrs]
    ops += [replace(op, attrs={**op.attrs, "scheme": s}) for s in schemes for op in weighted]
    kernels = [kernel_for(op, PROFILES[profile]) for op in ops]
    parts = [part for kernel in kernels if kernel is not None for part in dispatches(kernel)]
    return list(dict.fromkeys(emulated(part.wgsl) for part in parts))


def complaints(result: dict[str, Any], sources: list[str]) -> str:
    return "\n\n".join(
        f"{source[:200]}...\n{complaint}"
        for complaint, source in zip(result["complaints"], sources, strict=True)
        if complaint
    )


def test_pipelines_of_the_software_profile_are_made(page: Any) -> None:
    sources = texts("software")
    result = page.evaluate(CHECK, {"texts": sources, "pipelines": True})
    print(f"{len(sources)} pipelines in {result['milliseconds']:.0f} ms")
    assert not complaints(result, sources)


@pytest.mark.parametrize("profile", ["base", "f16", "f16+subgroups", "matrix"])
def test_modules_of_the_other_profiles_are_accepted(page: Any, profile: str) -> None:
    """Where the adapter has no f16, the text is checked with f32 in its place: what is left to
    check there is everything but the type itself, which wgpu checks on lavapipe. Subgroup matrices
    are replaced by what they mean."""
    features = page.evaluate(CHECK, {"texts": [], "pipelines": False})["wanted"]
    sources = texts(profile, "q3", "q8")
    if "shader-f16" not in features:
        sources = [s.replace("enable f16;\n", "").replace("f16", "f32") for s in sources]
    if "subgroups" not in features:
        sources = [s for s in sources if "enable subgroups;" not in s]
    result = page.evaluate(CHECK, {"texts": sources, "pipelines": False})
    assert not complaints(result, sources)


def test_a_text_with_a_barrier_in_divergent_flow_is_refused(page: Any) -> None:
    """The check can fail."""
    source = """@compute @workgroup_size(64)
    fn main(@builtin(local_invocation_index) lid: u32) { if (lid < 3u) { workgroupBarrier(); } }"""
    result = page.evaluate(CHECK, {"texts": [source], "pipelines": False})
    assert "uniform" in complaints(result, [source])
