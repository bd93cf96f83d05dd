"""Hand-written plans of one or two kernels, each for one promise of the executor."""

from __future__ import annotations

from runtime.plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan, Step, Uniform

ONE = Expr(1)
SCALE = """
struct Args { n: u32, offset: i32, factor: f32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= args.n) { return; }
  c[id.x] = a[id.x] + args.factor * b[id.x] + f32(args.offset);
}
"""
COUNT = """
@group(0) @binding(0) var<storage, read_write> total: array<i32>;
@compute @workgroup_size(1) fn main() { total[0] += 1; }
"""
COPY = """
@group(0) @binding(0) var<storage, read> source: array<i32>;
@group(0) @binding(1) var<storage, read_write> target_: array<i32>;
@compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3<u32>) {
  target_[id.x] = source[id.x];
}
"""


def plan(
    buffers: dict[str, tuple[str, Expr]], kernels: dict[str, str], entries: dict[str, Entry]
) -> Plan:
    """A plan whose model data are of no interest."""
    return Plan(
        format=PLAN_FORMAT,
        model="mini",
        scheme="f32",
        variant="base",
        features=(),
        limits={},
        vocab_size=1,
        context=1,
        page_size=1,
        prefill_chunk=1,
        buffers=tuple(Buffer(n, r, "f32", size) for n, (r, size) in buffers.items()),  # type: ignore[arg-type]
        kernels=tuple(Kernel(name, wgsl, "main") for name, wgsl in kernels.items()),
        entries=entries,
        memory=Memory(0, 0, 0, 0),
    )


def vector_add() -> Plan:
    """c[i] = a[i] + 0.5 * b[i] + (pos - 3) for i < n; entry `twice` runs it with another n."""
    size = Expr(4 * 256)
    grid = (Expr(("//", Expr(("+", Expr("n"), Expr(63))), Expr(64))), ONE, ONE)

    def step(count: Expr, factor: int) -> Step:
        offset = Expr(("-", Expr("pos"), Expr(3)))
        uniforms = (Uniform("u32", count), Uniform("i32", offset), Uniform("f32", Expr(factor)))
        return Step("scale", ("a", "b", "c"), (2,), uniforms, grid)

    both = Entry(("n", "pos"), (step(Expr("n"), 2), step(ONE, 7)))
    return plan(
        {name: ("io", size) for name in "abc"},
        {"scale": SCALE},
        {"add": Entry(("n", "pos"), (step(Expr("n"), 2),)), "both": both},
    )


def counter() -> Plan:
    """`count` adds one in place; `copy` copies `total` to `seen`, `n` words of it."""
    count = Step("count", ("total",), (0,), (), (ONE, ONE, ONE))
    copy = Step("copy", ("total", "seen"), (1,), (), (Expr("n"), ONE, ONE))
    return plan(
        {"total": ("io", Expr(4)), "seen": ("io", Expr(4)), "kv": ("kv", Expr("pages"))},
        {"count": COUNT, "copy": COPY},
        {"count": Entry((), (count,)), "copy": Entry(("n",), (copy,))},
    )


def broken_kernel() -> Plan:
    """WGSL that does not compile."""
    step = Step("bad", ("total",), (0,), (), (ONE, ONE, ONE))
    wgsl = COUNT.replace("+= 1;", "+= nonsense;")
    return plan({"total": ("io", Expr(4))}, {"bad": wgsl}, {"run": Entry((), (step,))})


def huge_dispatch() -> Plan:
    """A grid that no device allows: an error that only shows when it is submitted."""
    step = Step("count", ("total",), (0,), (), (Expr("n"), ONE, ONE))
    return plan({"total": ("io", Expr(4))}, {"count": COUNT}, {"run": Entry(("n",), (step,))})


def huge_buffer() -> Plan:
    """More memory than there is."""
    step = Step("count", ("total",), (0,), (), (ONE, ONE, ONE))
    buffers = {"total": ("io", Expr(4))}
    buffers |= {f"kv{i}": ("kv", Expr(("*", Expr(1 << 20), Expr("pages")))) for i in range(64)}
    return plan(buffers, {"count": COUNT}, {"run": Entry((), (step,))})
