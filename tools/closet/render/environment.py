"""The templates of all files, and how such are read."""

from __future__ import annotations

from contextlib import suppress

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket

from closet import paths


class Compiled(FileSystemBytecodeCache):
    """Templates compiled before, kept as Python keeps its own modules; where they cannot be kept, all goes on without.

    To compile them takes longer than to render a node, and every command would do it.
    """

    def __init__(self) -> None:
        folder = paths.cache() / "templates"
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        super().__init__(str(folder))

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept of one."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep one."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def templates(package: str, *, autoescape: bool) -> Environment:
    """The templates of a package, in which a name that nobody gave is an error."""
    return Environment(
        loader=PackageLoader(package),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,  # noqa: S701  configuration files are not HTML
        bytecode_cache=Compiled(),
    )


TEMPLATES = templates("closet.render", autoescape=False)
"""Of the files of nodes."""
