"""One exception root, one class a failure mode; each knows the exit code the command line ends with."""

from __future__ import annotations


class ClosetError(Exception):
    """The root: something closet can say in one line.

    Attributes:
        exit_code: 2 for usage or intent, 3 for the environment (1 is kept for findings).
    """

    exit_code = 3


class IntentError(ClosetError):
    """The intent cannot be read or planned: names the file, the place inside it, what was given, what is allowed."""

    exit_code = 2


class UsageError(ClosetError):
    """The command was asked for something that does not exist or does not fit together."""

    exit_code = 2


class EnvironmentFault(ClosetError):
    """This machine lacks something, or refused it: a tool, a capability, disk space, a kernel feature."""


class RuntimeFault(EnvironmentFault):
    """A node, link or daemon could not be brought up or taken down."""


class ProbeError(ClosetError):
    """An observation or probe could not be made: never to be mistaken for an answer."""


class DeadlineError(ClosetError):
    """A wait ended before what it waited for came true; carries the last observation."""

    exit_code = 1
