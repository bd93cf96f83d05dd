"""Subgroup matrices in plain WGSL, for devices without them: what each builtin means, element by
element.

A left or right matrix is where it lies (array, offset, stride). Products are noted down and done
in one place, before the barrier that ends a step: software drivers take minutes to compile a
kernel with dozens of places. A sum is spread over 32 threads, eight elements each. Products of
halves are exact in f32, as they are on matrix units; only the order of additions is this
emulation's own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from hub.kernels import KernelSequence, LibraryKernel
from tests.hub.kernels.trial import Runner

FEATURE = "enable chromium_experimental_subgroup_matrix;\n"
TYPES = re.compile(
    r"alias Left = subgroup_matrix_left<f16, 16, 16>;\n"
    r"alias Right = subgroup_matrix_right<f16, 16, 16>;\n"
    r"alias Sums = subgroup_matrix_result<f32, 16, 16>;\n"
)
LOAD = re.compile(r"subgroupMatrixLoad<(Left, row|Right, col)_major>\(&(\w+), ([^;]+), (\w+)\);")
SUMS = re.compile(r"var (\w+) = Sums\(\);")
PRODUCT = re.compile(r"(\w+) = subgroupMatrixMultiplyAccumulate\((\w+), (\w+), (\w+)\);")
STEP_END = "    workgroupBarrier();\n  }\n"
STORE = re.compile(r"subgroupMatrixStore<row_major>\(&(\w+), ([^,]+), (\w+), 16u\);")
BUILTINS = re.compile(
    r"  @builtin\(subgroup_id\) (\w+): u32,\n"
    r"  @builtin\(subgroup_invocation_id\) (\w+): u32,\n\) \{"
)
LEFT_OVER = re.compile(r"subgroup(_|[A-Z])")
SUPPORT = """
struct Product {
  left: vec3<u32>,
  right: vec3<u32>,
  sum: u32,
}
var<private> products: array<Product, %(products)d>;
var<private> count: u32;
var<private> sums: array<f32, %(sums)d>;
var<private> own_lane: u32;
// A limit that compilers do not know: they unroll these loops by the thousand otherwise.
var<private> eight: u32;

fn element(place: vec3<u32>, offset: u32) -> f32 {
  switch place.x {
%(cases)s
    default: { return 0.0; }
  }
}

fn add_products() {
  for (var i = 0u; i < count; i++) {
    let product = products[i];
    for (var j = 0u; j < eight; j++) {
      let at = own_lane + j * 32u;
      var total = sums[product.sum + j];
      for (var k = 0u; k < 2u * eight; k++) {
        total += element(product.left, at / 16u * product.left.z + k)
          * element(product.right, at %% 16u * product.right.z + k);
      }
      sums[product.sum + j] = total;
    }
  }
  count = 0u;
}
"""


def emulated(wgsl: str) -> str:
    """`wgsl` without subgroup matrices; a text that has none stays as it is."""
    if FEATURE not in wgsl:
        return wgsl
    arrays = sorted({name for _, name, _, _ in LOAD.findall(wgsl)})
    sums = {name: 8 * index for index, name in enumerate(SUMS.findall(wgsl))}
    text = wgsl.replace(FEATURE, "").replace("enable subgroups;\n", "")
    for pattern, write in (
        (TYPES, lambda m: _support(arrays, len(sums), len(PRODUCT.findall(wgsl)))),
        (LOAD, lambda m: f"vec3<u32>({arrays.index(m[2])}u, {m[3]}, {m[4]});"),
        (SUMS, lambda m: ""),
        (PRODUCT, lambda m: _product(m, sums[m[4]])),
        (STORE, lambda m: _store(m, sums[m[3]])),
        (BUILTINS, _builtins),
    ):
        text, found = pattern.subn(write, text)
        assert found, pattern.pattern
    assert text.count(STEP_END) == 1 and not LEFT_OVER.search(text), "the text has another form"
    return text.replace(STEP_END, "    add_products();\n" + STEP_END)


def _support(arrays: Sequence[str], sums: int, products: int) -> str:
    cases = [
        f"    case {i}u: {{ return f32({name}[place.y + offset]); }}"
        for i, name in enumerate(arrays)
    ]
    return SUPPORT % {"cases": "\n".join(cases), "sums": 8 * sums, "products": products}


def _product(found: re.Match[str], place: int) -> str:
    assert found[1] == found[4], found[0]
    return f"products[count] = Product({found[2]}, {found[3]}, {place}u); count++;"


def _store(found: re.Match[str], place: int) -> str:
    each = f"{found[1]}[{found[2]} + own_lane + j * 32u] = sums[{place}u + j];"
    return f"for (var j = 0u; j < eight; j++) {{ {each} }}"


def _builtins(found: re.Match[str]) -> str:
    team, lane = found[1], found[2]
    lines = (
        f"let {team} = lid / 32u;",
        f"let {lane} = lid % 32u;",
        f"own_lane = {lane};",
        "eight = 8u + uniforms.n / 0x40000000u;",
    )
    return ") {\n  " + "\n  ".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class MatrixEmulator:
    """A Runner that gives another one emulated kernels."""

    adapter: Runner

    def run(
        self,
        kernel: LibraryKernel | KernelSequence,
        arrays: Sequence[NDArray[Any]],
        symbols: Mapping[str, int],
    ) -> list[NDArray[Any]]:
        if isinstance(kernel, LibraryKernel):
            return self.adapter.run(_plain(kernel), arrays, symbols)
        parts = tuple((_plain(part), ids) for part, ids in kernel.kernels)
        return self.adapter.run(dataclasses.replace(kernel, kernels=parts), arrays, symbols)


def _plain(kernel: LibraryKernel) -> LibraryKernel:
    return dataclasses.replace(kernel, wgsl=emulated(kernel.wgsl))
