"""Plans for the processor: kernels in TIR, compiled by TVM to WebAssembly and linked by zig."""
