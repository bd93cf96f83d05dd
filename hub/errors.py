"""Errors of the press, each with the remedy in its message.

HubError
├── CheckpointError      a checkpoint that is damaged, incomplete or of another shape
├── UnsupportedError     a family, scheme or config option this version cannot compute
├── SourceError          a repository that cannot be read (missing, gated, offline)
├── CompileError         a kernel or plan that breaks a limit of its device
│   └── DoesNotFitError  a model too large for the memory that a device can address
├── ToolError            a tool of the build that is not installed
└── OutputError          the result cannot be written (full disk, no permission)
"""


class HubError(Exception):
    """Base of everything the press refuses."""


class CheckpointError(HubError):
    """The checkpoint is damaged, incomplete, or not what its config.json says."""


class UnsupportedError(HubError):
    """The model asks for something this version does not compute; names it and what exists."""


class SourceError(HubError):
    """The repository cannot be read: missing, gated, needs a token, or no network."""


class CompileError(HubError):
    """The compiler produced something WebGPU cannot run."""


class DoesNotFitError(CompileError):
    """The model is too large for any device of the plan's class; says what it needs."""


class ToolError(HubError):
    """A tool that this part of the build needs is not installed; names the package."""


class OutputError(HubError):
    """The hub folder cannot be written; what was there before still serves."""
