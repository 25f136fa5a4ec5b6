"""What a run tells of itself: TensorBoard events, and a progress bar or, where the output is no terminal, a line for
every twentieth of the run, and one whenever nothing was said for half a minute."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams
from tqdm import tqdm

from quagga.data.preview import contact_sheet
from quagga.names import for_libraries, shown
from quagga.pipelines.heartbeat import Heartbeat
from quagga.pipelines.minimax import Images
from quagga.pipelines.plan import duration


class Logbook:
    """Writes a run's curves and pictures. The horizontal axis of all of them is images seen.

    Where TensorBoard's file cannot be written (a full disk), that is said, and the run goes on: a new file is begun at
    the next save that succeeds.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], images_seen: int, length: int):
        self.folder, self.length, self.told, self.started = folder, length, images_seen, images_seen > 0
        self.pipeline = str(config.get("pipeline", "the game"))
        self.laid_out: set[str] = set()  # curves that TensorBoard shows side by side
        self.writer: SummaryWriter | None = None
        self.failed, self.seen = False, images_seen
        self.names = ExitStack()
        self.place = self.names.enter_context(for_libraries(folder))
        self.bar = tqdm(
            total=length,
            initial=images_seen,
            unit="img",
            smoothing=0.1,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )
        self.played, self.per_second, self.losses = images_seen, None, {}  # what a line says
        self.doing = ""  # what takes a while, and is no step
        self.heartbeat = Heartbeat(self.tell)
        # what an interrupted start has written beyond its last checkpoint would double back
        self._open(images_seen + 1 if images_seen else 0)
        if not self.started:
            text = "\n".join(f"    {key}: {json.dumps(value)}" for key, value in config.items())
            scalars = {key: value if value is not None else "none" for key, value in config.items()}
            flat = {key: v if isinstance(v, int | float | bool) else _as_text(v) for key, v in scalars.items()}

            def write(writer: SummaryWriter) -> None:
                writer.add_text("config", text, 0)
                for summary in hparams(flat, {"generators/total": 0.0}):
                    writer._get_file_writer().add_summary(summary)  # add_hparams would open a second run

            self._write(write)

    def __enter__(self) -> "Logbook":
        with ExitStack() as stack:
            if self.bar.disable:
                stack.enter_context(self.heartbeat)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
        with suppress(OSError):
            self.bar.close()
        self._write(lambda writer: writer.close())
        self.names.close()

    def _open(self, purge_step: int) -> None:
        """TensorBoard forgets what earlier files hold from `purge_step` on."""
        try:
            self.writer = SummaryWriter(self.place, purge_step=purge_step)
        except OSError as error:
            self._miss(error)

    def _write(self, action: Callable[[SummaryWriter], object]) -> None:
        if self.writer is None:
            return
        try:
            action(self.writer)
            if self.failed:
                self.failed = False
                self.say("TensorBoard's file can be written again")
        except OSError as error:  # its own thread found it; the call after is told
            self._miss(error)

    def _miss(self, error: Exception) -> None:
        if not self.failed:
            reason = " ".join(str(error).split())
            self.say(f"TensorBoard's file cannot be written ({reason}): curves have a gap from here; the run goes on")
        self.failed, self.writer = True, None

    def rewind(self, images_seen: int) -> None:
        """The run goes on from an earlier moment: what was written since then is taken back."""
        self._write(lambda writer: writer.close())
        self._open(images_seen + 1 if images_seen else 1)
        self.told, self.played = min(self.told, images_seen), images_seen
        self.bar.n = images_seen
        with suppress(OSError):
            self.bar.refresh()

    def progress(self, images: int, per_second: float | None = None) -> None:
        """Moves the progress bar on by so many images. per_second: images, as of late; None: not known yet."""
        self.played, self.per_second = self.played + images, per_second
        with suppress(OSError):  # a terminal that has gone does not end a run
            self.bar.update(images)

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Within, a line says what is being done that is no step."""
        self.doing = what
        try:
            yield
        finally:
            self.doing = ""

    def tell(self) -> None:
        """Prints a line: where the run stands, how fast it is, and what takes a while. The losses are those of the last
        point of the curves: newer ones would make the host wait for the device."""
        parts, left = [f"{self.played:,} of {self.length:,} images"], self.length - self.played
        if self.per_second:
            parts += [f"{self.per_second:.3g} images/s"]
            parts += [f"{duration(left / self.per_second)} left"] if left > 0 else []
        parts += [f"{side} {value:.3f}" for side, value in self.losses.items()]
        starting = "the first steps" if self.per_second is None and left > 0 else ""
        parts += [f"now: {what}"] if (what := self.doing or starting) else []
        self.say(", ".join(parts))

    def scalars(self, values: Mapping[str, float], images_seen: int) -> None:
        """A point of the curves. Beside the bar stand the losses' sums; where there is no bar, a line for every
        twentieth of the run says them."""
        self.seen = images_seen

        def write(writer: SummaryWriter) -> None:
            # Held-out curves come later; TensorBoard takes the last layout, and a run that goes on has one with all.
            held_out = [name.startswith("held_out/") for name in values]
            if not values.keys() <= self.laid_out and (not self.started or (any(held_out) and not all(held_out))):
                self.laid_out |= values.keys()
                writer.add_custom_scalars(layout(list(values), self.pipeline))
            for name, value in values.items():
                writer.add_scalar(name, value, images_seen)

        self._write(write)
        sums = {side: f"{side}/total" for side in ("generators", "discriminators")}
        self.losses |= {side: values[name] for side, name in sums.items() if name in values}
        self.bar.set_postfix({side[0].upper(): f"{value:.3f}" for side, value in self.losses.items()}, refresh=False)
        due = images_seen - self.told >= self.length / 20 or images_seen >= self.length
        if self.bar.disable and due:
            self.told = images_seen
            self.tell()

    def strips(self, strips: Mapping[str, Images], which: str, images_seen: int) -> None:
        """One picture a strip: a row an example, a captioned column a stage."""
        for name, images in strips.items():
            sheet = contact_sheet(images)
            self._write(lambda w, tag=f"{name}/{which}", s=sheet: w.add_image(tag, s, images_seen, dataformats="HWC"))

    def say(self, line: str) -> None:
        """Prints a line; where nobody listens any more (a closed pipe, a full disk), the run goes on all the same."""
        self.heartbeat.spoken()
        with suppress(OSError):
            self.bar.write(shown(line), file=sys.stdout)
            sys.stdout.flush()

    def flush(self) -> None:
        """Brings to the disk what was written; begins a new file where the last one failed."""
        if self.writer is None:
            self._open(self.seen + 1)
        self._write(lambda writer: writer.flush())


def _as_text(value: Any) -> str:
    return shown(value) if isinstance(value, str) else json.dumps(value)


def layout(names: list[str], pipeline: str) -> dict[str, dict[str, list[Any]]]:
    """TensorBoard's custom scalars: side by side what one reads together, below the pipeline's name: TensorBoard joins
    what the runs of a folder put below one name, so that runs of two pipelines would be drawn in each other's charts.

    The curves of a chart are regular expressions to TensorBoard, of which it matches the beginning of names.
    """
    judges = sorted({name.split("/")[0] for name in names if name.endswith("/real")})
    charts = {
        "losses of the generators": [n for n in names if n.startswith("generators/")],
        "losses of the discriminators": [n for n in names if n.startswith("discriminators/")],
        **{f"{D} on real and on fake": [f"{D}/real", f"{D}/fake"] for D in judges},
        "accuracy of the discriminators": [n for n in names if n.endswith("/accuracy")],
        "norms of the gradients": [n for n in names if n.startswith("gradient/")],
        "learning rates": [n for n in names if n.startswith("rate/")],
        "held out: verdicts of D": [n for n in names if n.startswith("held_out/D")],
        "held out: share of each kind": [n for n in names if n.startswith("held_out/share/")],
    }
    rest = [n for n in names if n.startswith("held_out/") and not n.startswith(("held_out/D", "held_out/share/"))]
    charts |= {n.replace("held_out/", "held out: "): [n] for n in rest}  # apart, as their units differ
    return {
        pipeline: {
            title: ["Multiline", [f"{re.escape(tag)}$" for tag in tags]] for title, tags in charts.items() if tags
        }
    }
