"""To come."""

from quagga.data.unpaired import Unpaired as Conditioned  # noqa: F401
