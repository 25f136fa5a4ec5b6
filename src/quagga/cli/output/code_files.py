"""Codes of pictures as files, and pictures of such files: `quagga translate RUN ... --to code` and `--to picture`.

A code is a grey PNG of one row, a pixel a number, and says in its text what 0 and 255 stand for. So a code has the size
in bytes of what it tells, and is not much larger than that.
"""

from collections.abc import Callable, Iterable, Set
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from quagga.cli.output.output_files import mark_output_folder, write_picture
from quagga.cli.output.progress_bar import for_each_file
from quagga.errors import BadInput

if TYPE_CHECKING:
    from quagga.inference.coder import Code, Coder

RANGE = "quagga code range"  # key of the text in the PNG


def translate_codes(
    coder: "Coder", to: str, jobs: Iterable[tuple[Path, Path]], output: Path, kept: Set[Path] = frozenset()
) -> int:
    """Writes the code of each picture, or the picture of each code.

    Args:
        coder: The model.
        to: "code" or "picture".
        jobs: What to read, and the PNG to write.
        output: The folder of the targets.
        kept: Targets that are left as they are.

    Returns:
        The exit code: 0, or 2 when a file was left out.
    """
    targets = {target: source for source, target in jobs}
    make: Callable[[Path, Path], None] = {"code": _write_code, "picture": _write_decoded}[to](coder)

    def write(target: Path) -> None:
        mark_output_folder(output)
        make(targets[target], target)

    todo = [target for target in targets if target not in kept]
    outcome = for_each_file(todo, targets.__getitem__, write)
    if kept:
        print(f"{len(kept)} of {len(targets)} exist in {output} and are kept")
    what = to if outcome.done == 1 else f"{to}s"
    print(f"{outcome.done} {what} in {output}{_size_text(coder, to, todo)} ({outcome.speed:.3g} a second)")
    return outcome.exit_code("could not be read")


def _size_text(coder: "Coder", to: str, written: Iterable[Path]) -> str:
    """Returns how large codes are, beside the pixels that the network saw; "" where there are none."""
    sizes = [target.stat().st_size for target in written if to == "code" and target.exists()]
    if not sizes:
        return ""
    mean, side = sum(sizes) / len(sizes), coder.reader.size
    return f", {mean:,.0f} bytes each, {8 * mean / side**2:.3g} bits a pixel of {side} x {side}"


def _write_code(coder: "Coder") -> Callable[[Path, Path], None]:
    from quagga.data.io.write import draft_of

    def write(source: Path, target: Path) -> None:
        content = code_file(coder.encode(source))
        with draft_of(target) as draft:
            draft.write_bytes(content)

    return write


def code_file(code: "Code") -> bytes:
    """Returns the file of a code."""
    text, file = PngImagePlugin.PngInfo(), BytesIO()
    text.add_text(RANGE, f"{code.low:g} {code.high:g}")
    Image.fromarray(code.numbers[None]).save(file, "PNG", optimize=True, pnginfo=text)
    return file.getvalue()


def _write_decoded(coder: "Coder") -> Callable[[Path, Path], None]:
    return lambda source, target: write_picture(target, coder.decode(read_code(source)))


def read_code(path: Path) -> "Code":
    """Reads a code that `translate_codes` wrote. Raises BadInput if the file is none."""
    from quagga.inference.coder import Code

    try:
        with Image.open(path) as image:
            low, high = map(float, str(image.info[RANGE]).split())
            numbers = np.asarray(image)
        if numbers.ndim != 2 or numbers.dtype != np.uint8 or not np.isfinite([low, high]).all():
            raise ValueError
    except (OSError, KeyError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        raise BadInput(f"{path} is no code: give files that `quagga translate RUN PICTURE --to code` wrote") from None
    return Code(numbers.reshape(-1), low, high)
