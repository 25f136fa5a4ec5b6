"""`python -m quagga`, `accelerate launch -m quagga` and the console script `quagga` are the same thing."""

import sys

from quagga.pipelines.cli import command_line


def main() -> None:
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
