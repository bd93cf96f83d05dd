"""Errors of the site builder, each with the remedy in its message.

SiteError
├── HubFolderError       the hub folder is missing, damaged or disagrees with itself
├── ToolError            a tool the pages are built with is missing or failed
├── LinkError            a page points at something the site does not have
└── OutputError          the site cannot be written; what was there before still serves
"""


class SiteError(Exception):
    """Base of everything the site builder refuses."""


class HubFolderError(SiteError):
    """The hub folder is missing, damaged, or its documents disagree with its files."""


class ToolError(SiteError):
    """Node or a package the page scripts need is missing or failed."""


class LinkError(SiteError):
    """A page points at something the site does not have; lists every such link."""


class OutputError(SiteError):
    """The site folder cannot be written."""
