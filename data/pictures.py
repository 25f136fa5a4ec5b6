"""To come."""

from quagga.data.unpaired import Unpaired as Pictures  # noqa: F401
