"""`python -m quagga`, `accelerate launch -m quagga` and the console script `quagga` are the same thing."""

import gc
import sys

from quagga.cli.main import command_line


def main() -> None:
    code = command_line(sys.argv[1:])
    if "triton" not in sys.modules:  # which would complain, in a hundred lines, of what is left
        gc.freeze()  # else the end of Python goes through all that torch has imported: 0.3 s
    sys.exit(code)


if __name__ == "__main__":
    main()
