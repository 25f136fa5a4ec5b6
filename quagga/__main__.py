"""`python -m quagga`, `accelerate launch -m quagga` and the console script `quagga` are the same thing."""

import gc
import sys

from quagga.pipelines.cli import command_line


def main() -> None:
    code = command_line(sys.argv[1:])
    if "triton" not in sys.modules:  # whose bindings complain on stderr of what is not collected
        gc.freeze()  # else the end of Python goes through all that torch has imported: another 0.3 s
    sys.exit(code)


if __name__ == "__main__":
    main()
