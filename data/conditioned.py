from quagga.data.unpaired import Unpaired as Conditioned
