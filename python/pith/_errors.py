"""What Pith raises. Every exception of the library is a `pith.Error`."""


class Error(Exception):
    """Something that Pith could not do: one line that says what, where, and what to do."""


class DataError(Error, ValueError):
    """Malformed, truncated or corrupt input.

    `problems`: everything that `Archive.verify()` found, else empty.
    """

    problems: "tuple[str, ...]" = ()


class IoError(Error, OSError):
    """The operating system refused: a missing file, no permission, a full disk; or a file exists
    already and `overwrite` was not set."""


class LimitError(Error):
    """Correct perhaps, but larger than the memory limit allows."""


class UsageError(Error, ValueError):
    """Asked for something that does not exist: rows past the end, an unknown element type."""


class MissingError(Error, KeyError):
    """No such tensor or file in the archive."""

    __str__ = Exception.__str__  # KeyError would print the message in quotes


class BaseError(Error):
    """The base of a delta is missing or is another file."""


for _class in (Error, DataError, IoError, LimitError, UsageError, MissingError, BaseError):
    _class.__module__ = "pith"  # the name under which users know it
