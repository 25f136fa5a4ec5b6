"""Films: frames as an animated GIF or an MP4."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from quagga.data.io.write import draft_of
from quagga.errors import BadInput
from quagga.filenames import utf8_alias

SIDE = 256  # pixels; smaller frames are enlarged towards it


def write_film(frames: np.ndarray, target: Path, frames_per_second: int = 12) -> None:
    """Writes a film. A GIF, which starts again at its end, goes back to its first frame.

    Args:
        frames: uint8 (N, H, W, 1 or 3); small ones are enlarged by whole numbers.
        target: .gif or .mp4.
        frames_per_second: speed of the film.

    Raises:
        BadInput: it cannot be written, or there is no encoder for MP4.
    """
    scale = max(1, SIDE // max(frames.shape[1:3]))
    frames = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    if frames.shape[3] == 1:
        frames = frames.repeat(3, axis=3)
    with draft_of(target) as draft:
        if target.suffix == ".gif":
            images = [Image.fromarray(frame) for frame in (*frames, *frames[-2:0:-1])]
            images[0].save(draft, save_all=True, append_images=images[1:], duration=1000 // frames_per_second, loop=0)
        else:
            _write_mp4(frames, draft, frames_per_second)


def _write_mp4(frames: np.ndarray, path: Path, frames_per_second: int) -> None:
    """Writes uint8 (N, H, W, 3) as an MP4.

    Raises:
        BadInput: there is no encoder.
        OSError: it was not written to its end, which OpenCV does not report.
    """
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2  # codecs want even sides
    with utf8_alias(path.parent) as folder:
        name = f"{folder}/{path.name}"
        writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"mp4v"), frames_per_second, (width, height))
        try:
            if not writer.isOpened():
                raise BadInput("OpenCV has no MP4 encoder here, or cannot write to this folder: try --film gif")
            for frame in frames:
                writer.write(cv2.cvtColor(frame[:height, :width], cv2.COLOR_RGB2BGR))
        finally:
            writer.release()
        reader = cv2.VideoCapture(name)
        try:
            if reader.get(cv2.CAP_PROP_FRAME_COUNT) != len(frames):
                raise OSError("OpenCV has not written all of it")
        finally:
            reader.release()
