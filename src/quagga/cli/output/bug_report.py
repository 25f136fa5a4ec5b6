"""What is said and kept of an error that is a bug of Quagga."""

import traceback
from tempfile import NamedTemporaryFile


def save_traceback(error: Exception) -> str:
    """Writes the traceback of a bug to a file, and returns the message for the user, which names it."""
    last = str(error).strip().splitlines()[-1:]
    what = ": ".join([type(error).__name__, *last])[:200]
    try:
        with NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix="quagga-traceback-",
            suffix=".txt",
            delete=False,
        ) as file:
            traceback.print_exception(error, file=file)
        where = f"which is in {file.name}"
    except OSError:  # the disk is full
        traceback.print_exception(error)
        where = "which stands above"
    return f"this is a bug of Quagga ({what}): please report it to its authors with the traceback, {where}"
