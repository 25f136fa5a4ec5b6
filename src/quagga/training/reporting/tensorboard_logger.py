"""Logs a run: TensorBoard events, and a progress bar or, where the output is no terminal, a line for every twentieth of
the run and one whenever nothing was printed for half a minute."""

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

from quagga.data.io.contact_sheet import contact_sheet
from quagga.errors import one_line
from quagga.filenames import escape_surrogates, utf8_alias
from quagga.pipelines.core.game_protocol import Images
from quagga.training.reporting.heartbeat import Heartbeat
from quagga.training.reporting.time_estimate import format_duration


class Logger:
    """Writes a run's curves and pictures. The horizontal axis of all of them is images seen.

    If TensorBoard's file cannot be written (a full disk), that is printed and the run goes on: the next save that
    succeeds begins a new file.

    Args:
        folder: the run's.
        config: all options.
        images_seen: where the run begins or resumes.
        length: images of the run.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], images_seen: int, length: int):
        self.folder, self.length, self.is_resumed = folder, length, images_seen > 0
        self.pipeline = str(config.get("pipeline", "the game"))
        self.charted: set[str] = set()  # curves in TensorBoard's custom charts
        self.writer: SummaryWriter | None = None
        self.write_failed = False
        self.last_point = self.last_status = images_seen  # images seen at the last point, and at the last status line
        self.alias_context = ExitStack()
        self.events_folder = self.alias_context.enter_context(utf8_alias(folder))
        self.bar = tqdm(
            total=length,
            initial=images_seen,
            unit="img",
            smoothing=0.1,
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )
        self.images_seen, self.images_per_second = images_seen, None
        self.losses: dict[str, float] = {}
        self.accuracies: dict[str, float] = {}  # of discriminators, and of a classifier
        self.activity = ""  # what takes a while, and is no step
        self.heartbeat = Heartbeat(self.print_status)
        # Drops what an interrupted start has written beyond its last checkpoint: curves would double back.
        self._open_writer(images_seen + 1 if images_seen else 0)
        if not self.is_resumed:
            text = "\n".join(f"    {key}: {json.dumps(value)}" for key, value in config.items())
            values = {key: value if value is not None else "none" for key, value in config.items()}
            flat = {key: v if isinstance(v, int | float | bool) else _as_text(v) for key, v in values.items()}

            def write(writer: SummaryWriter) -> None:
                writer.add_text("config", text, 0)
                for summary in hparams(flat, {"generators/total": 0.0}):
                    writer._get_file_writer().add_summary(summary)  # add_hparams would open a second run

            self._write(write)

    def __enter__(self) -> "Logger":
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
        self.alias_context.close()

    def _open_writer(self, purge_step: int) -> None:
        """Begins a new file, with which TensorBoard ignores what earlier files hold from `purge_step` on."""
        try:
            self.writer = SummaryWriter(self.events_folder, purge_step=purge_step)
        except OSError as error:
            self._report_write_failure(error)

    def _write(self, action: Callable[[SummaryWriter], object]) -> None:
        if self.writer is None:
            return
        try:
            action(self.writer)
            if self.write_failed:
                self.write_failed = False
                self.say("TensorBoard's file can be written again")
        except OSError as error:  # from the writer's own thread, raised by the call after
            self._report_write_failure(error)

    def _report_write_failure(self, error: Exception) -> None:
        if not self.write_failed:
            self.say(
                f"TensorBoard's file cannot be written ({one_line(error, None)}): curves have a gap from here; the run"
                " goes on"
            )
        self.write_failed, self.writer = True, None

    def rewind(self, images_seen: int) -> None:
        """Takes back what was written after so many images, to which the run was rolled back."""
        self._write(lambda writer: writer.close())
        self._open_writer(images_seen + 1 if images_seen else 1)
        self.last_status, self.images_seen = min(self.last_status, images_seen), images_seen
        self.bar.n = images_seen
        with suppress(OSError):
            self.bar.refresh()

    def progress(self, images: int, per_second: float | None = None) -> None:
        """Moves the progress bar on by so many images. per_second: images per second of late; None: not known yet."""
        self.images_seen, self.images_per_second = self.images_seen + images, per_second
        with suppress(OSError):  # a closed terminal does not end a run
            self.bar.update(images)

    @contextmanager
    def during(self, activity: str) -> Iterator[None]:
        """Lets status lines within the block say what is being done that is no step."""
        self.activity = activity
        try:
            yield
        finally:
            self.activity = ""

    def print_status(self) -> None:
        """Prints a line: images seen, speed, losses, accuracies, and what takes a while. The losses are those of the
        last point of the curves: newer ones would make the host wait for the device."""
        parts, left = [f"{self.images_seen:,} of {self.length:,} images"], self.length - self.images_seen
        if self.images_per_second:
            parts += [f"{self.images_per_second:.3g} images/s"]
            parts += [f"{format_duration(left / self.images_per_second)} left"] if left > 0 else []
        parts += [f"{name} {value:.3f}" for name, value in (self.losses | self.accuracies).items()]
        starting = "the first steps" if self.images_per_second is None and left > 0 else ""
        parts += [f"now: {activity}"] if (activity := self.activity or starting) else []
        self.say(", ".join(parts))

    def scalars(self, values: Mapping[str, float], images_seen: int) -> None:
        """Writes a point of the curves. The progress bar shows the sums of the losses; without a bar, a status line for
        every twentieth of the run does."""
        self.last_point = images_seen

        def write(writer: SummaryWriter) -> None:
            # Held-out curves come later. TensorBoard takes the last layout; a resumed run already has one with all.
            held_out = [name.startswith("held_out/") for name in values]
            if not values.keys() <= self.charted and (not self.is_resumed or (any(held_out) and not all(held_out))):
                self.charted |= values.keys()
                writer.add_custom_scalars(custom_charts(list(values), self.pipeline))
            for name, value in values.items():
                writer.add_scalar(name, value, images_seen)

        self._write(write)
        sums = {side: f"{side}/total" for side in ("generators", "discriminators")}
        self.losses |= {side: values[name] for side, name in sums.items() if name in values}
        trained = (name for name in values if name.endswith("/accuracy") and not name.startswith("held_out/"))
        self.accuracies |= {name: values[name] for name in trained}
        self.bar.set_postfix({side[0].upper(): f"{value:.3f}" for side, value in self.losses.items()}, refresh=False)
        is_due = images_seen - self.last_status >= self.length / 20 or images_seen >= self.length
        if self.bar.disable and is_due:
            self.last_status = images_seen
            self.print_status()

    def strips(self, strips: Mapping[str, Images], which: str, images_seen: int) -> None:
        """Writes one picture per strip: a row is an example, a captioned column a stage."""
        for name, images in strips.items():
            sheet = contact_sheet(images)
            self._write(lambda w, tag=f"{name}/{which}", s=sheet: w.add_image(tag, s, images_seen, dataformats="HWC"))

    def strip_figures(self, figures: Mapping[str, float], images_seen: int) -> None:
        """Writes figures of strips, name -> value, as a text in JSON: no curve, since strips come when they can be
        afforded, and one that a signal cuts off is not made up for."""
        text = json.dumps({name: round(value, 5) for name, value in figures.items()})
        self._write(lambda writer: writer.add_text("figures of the strips", text, images_seen))

    def say(self, line: str) -> None:
        """Prints a line. If the output is closed (a broken pipe, a full disk), the run goes on all the same."""
        self.heartbeat.reset()
        with suppress(OSError):
            self.bar.write(escape_surrogates(line), file=sys.stdout)
            sys.stdout.flush()

    def flush(self) -> None:
        """Flushes to the disk what was written; begins a new file if the last one failed."""
        if self.writer is None:
            self._open_writer(self.last_point + 1)
        self._write(lambda writer: writer.flush())


def _as_text(value: Any) -> str:
    return escape_surrogates(value) if isinstance(value, str) else json.dumps(value)


def custom_charts(names: list[str], pipeline: str) -> dict[str, dict[str, list[Any]]]:
    """Returns the layout of TensorBoard's custom scalars, in which related curves share a chart. It is titled with the
    pipeline's name: TensorBoard merges layouts of one name over all runs of a folder, so that without it runs of two
    pipelines would be drawn in each other's charts.

    TensorBoard takes the curves of a chart as regular expressions, which it matches with the beginning of names.
    """
    discriminators = sorted({name.split("/")[0] for name in names if name.endswith("/real")})
    charts = {
        "losses of the generators": [n for n in names if n.startswith("generators/")],
        "losses of the discriminators": [n for n in names if n.startswith("discriminators/")],
        **{f"{D} on real and on fake": [f"{D}/real", f"{D}/fake"] for D in discriminators},
        "accuracy of the discriminators": [n for n in names if n.endswith("/accuracy")],
        "norms of the gradients": [n for n in names if n.startswith("gradient/")],
        "learning rates": [n for n in names if n.startswith("rate/")],
        "held out: verdicts of D": [n for n in names if n.startswith("held_out/D")],
        "held out: share of each kind": [n for n in names if n.startswith("held_out/share/")],
    }
    rest = [n for n in names if n.startswith("held_out/") and not n.startswith(("held_out/D", "held_out/share/"))]
    charts |= {n.replace("held_out/", "held out: "): [n] for n in rest}  # one chart each, since their units differ
    return {
        pipeline: {
            title: ["Multiline", [f"{re.escape(tag)}$" for tag in tags]] for title, tags in charts.items() if tags
        }
    }
