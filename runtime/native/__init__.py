"""This machine as a host: WebGPU by wgpu-py, a folder for storage, the tokenizers package."""
