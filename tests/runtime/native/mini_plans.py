"""Hand-written plans of a few lines of WGSL, one for each thing an executor must get right."""

from __future__ import annotations

from runtime.plan import PLAN_FORMAT, Buffer, Entry, Expr, Kernel, Memory, Plan, Step, Uniform

ADD = """
struct Args { n: u32, scale: i32, bias: f32 }
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> unused: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < args.n) { out[id.x] = a[id.x] * f32(args.scale) + args.bias; }
}
"""
ACCUMULATE = """
struct Args { by: i32 }
@group(0) @binding(0) var<storage, read_write> token: array<i32>;
@group(0) @binding(1) var<uniform> args: Args;
@compute @workgroup_size(1) fn bump() { token[0] = token[0] * 2 + args.by; }
"""
GATHER = """
struct Args { pos: u32 }
@group(0) @binding(0) var<storage, read> page_table: array<i32>;
@group(0) @binding(1) var<storage, read> kv: array<i32>;
@group(0) @binding(2) var<storage, read_write> token: array<i32>;
@group(0) @binding(3) var<uniform> args: Args;
@compute @workgroup_size(1) fn main() {
  token[0] = kv[page_table[args.pos / 4u] * 4 + i32(args.pos % 4u)];
}
"""
SUBGROUP = """
enable subgroups;
@group(0) @binding(0) var<storage, read_write> token: array<i32>;
@compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
  let sum = subgroupAdd(1);
  if (i == 0u) { token[0] = sum; }
}
"""
N, POS, PAGES = Expr("n"), Expr("pos"), Expr("pages")
ONE = (Expr(1), Expr(1), Expr(1))


def plan(
    *,
    buffers: tuple[Buffer, ...],
    kernels: tuple[Kernel, ...],
    entries: dict[str, Entry],
) -> Plan:
    """A plan that is only what is given."""
    return Plan(
        format=PLAN_FORMAT,
        model="mini",
        scheme="f32",
        variant="base",
        features=(),
        limits={},
        vocab_size=1,
        context=64,
        page_size=4,
        prefill_chunk=4,
        buffers=buffers,
        kernels=kernels,
        entries=entries,
        memory=Memory(0, 0, 0, 0),
    )


def add_plan() -> Plan:
    """`add(n)`: out = 3 a + n / 1, in two dispatches that differ by their bias only."""
    groups = (Expr(("//", Expr(("+", N, Expr(63))), Expr(64))), Expr(1), Expr(1))
    three = (Uniform("u32", N), Uniform("i32", Expr(-3)), Uniform("f32", POS))
    again = (Uniform("u32", N), Uniform("i32", Expr(2)), Uniform("f32", Expr(1)))
    steps = (
        Step("add", ("a", "b", "middle"), (2,), three, groups),
        Step("add", ("middle", "b", "out"), (2,), again, groups),
    )
    size = Expr(4 * 100)
    names = ("a", "b", "middle", "out")
    return plan(
        buffers=tuple(Buffer(name, "scratch", "f32", size) for name in names),
        kernels=(Kernel("add", ADD, "main"),),
        entries={"add": Entry(("n", "pos"), steps)},
    )


def accumulate_plan() -> Plan:
    """`bump(pos)`: token = 2 token + pos, in place; skipped by a zero in the grid at pos 0."""
    grid = (Expr(("min", POS, Expr(1))), Expr(1), Expr(1))
    step = Step("bump", ("token",), (0,), (Uniform("i32", POS),), grid)
    return plan(
        buffers=(Buffer("token", "io", "i32", Expr(4)),),
        kernels=(Kernel("bump", ACCUMULATE, "bump"),),
        entries={"bump": Entry(("pos",), (step,)), "twice": Entry(("pos",), (step, step))},
    )


def gather_plan() -> Plan:
    """`gather(pos)`: token = what position pos of a paged cache holds."""
    names = ("page_table", "kv", "token")
    step = Step("gather", names, (2,), (Uniform("u32", POS),), ONE)
    return plan(
        buffers=(
            Buffer("page_table", "io", "i32", Expr(("*", PAGES, Expr(4)))),
            Buffer("kv", "kv", "i32", Expr(("*", PAGES, Expr(16)))),
            Buffer("token", "io", "i32", Expr(4)),
        ),
        kernels=(Kernel("gather", GATHER, "main"),),
        entries={"gather": Entry(("pos",), (step,))},
    )


def kernel_plan(wgsl: str) -> Plan:
    """`run()`: one kernel that writes `token`."""
    step = Step("kernel", ("token",), (0,), (), ONE)
    return plan(
        buffers=(Buffer("token", "io", "i32", Expr(4)),),
        kernels=(Kernel("kernel", wgsl, "main"),),
        entries={"run": Entry((), (step,))},
    )


def weight_plan() -> Plan:
    """Two weight buffers and nothing to run."""
    return plan(
        buffers=(
            Buffer("first", "weight", "u32", Expr(1024)),
            Buffer("second", "weight", "u32", Expr(512)),
        ),
        kernels=(),
        entries={},
    )
