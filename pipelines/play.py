"""A run as it is played: readings, strips and checkpoints where they are due, and what happens when something fails."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from signal import Signals
from statistics import fmean
from time import perf_counter
from typing import Any

import torch

from quagga import BadInput
from quagga.data.folders import claim
from quagga.data.preview import contact_sheet, for_the_eye
from quagga.data.rows import DataFault
from quagga.pipelines import checkpoint
from quagga.pipelines.cores import Cores
from quagga.pipelines.curves import SPEED, no_curve
from quagga.pipelines.intervals import Due, Intervals
from quagga.pipelines.lock import Lock, Lost
from quagga.pipelines.logbook import Logbook
from quagga.pipelines.minimax import Batch, Images, NotFinite, Trainer
from quagga.pipelines.model_folder import read_model
from quagga.pipelines.resume import BEST, CHECKPOINTS, back_to_newest
from quagga.pipelines.run_options import RunOptions
from quagga.pipelines.speed import Speed, estimate
from quagga.pipelines.stop import Ear, Stopped
from quagga.pipelines.threads import number_kept

Watch = Callable[[int, dict[str, Images]], None]  # is given the images seen and the strips of the averaged generators

AGREE = 2.0  # seconds after which processes ask each other, at the latest, whether one of them has heard a signal
ROLLBACKS = 3  # from one checkpoint
MUCH = 0.2  # share of the time, spent on pauses whose intervals the user states, that is worth a word
SOON = 120.0  # seconds of a run before which that is not judged
PAUSES = {"examine": "examining held-out pictures", "strips": "drawing strips of held-out pictures", "save": "saving"}
AUTO = ("auto", "latest")  # what --resume says where the same command goes on


@dataclass
class Play:
    """One run.

    Args:
        trainer: stands where the run begins or goes on.
        rows: what is trained on.
        options: where and how often.
        folder: the run's.
        log: on the main process; None on the others.
        ear: hears signals.
        keep_model: writes the game's generators into the folder it is given.
        statistics: minibatches over which averaged weights take their batch statistics anew.
        watch: is shown the strips.
        measured: what the pauses have cost until the checkpoint that the run goes on from, see `Intervals.state_dict`.
        lock: the folder's, on the main process.
    """

    trainer: Trainer
    rows: Any
    options: RunOptions
    folder: Path
    log: Logbook | None
    ear: Ear
    keep_model: Callable[[Path], None]
    watch: Watch | None = None
    config: Mapping[str, Any] = field(default_factory=dict)  # all options, for the checkpoints
    statistics: Sequence[Batch] = ()
    scores: list[float] = field(default_factory=list)  # readings of the curve `keep_best` since the last checkpoint
    owed: bool = False  # whether held-out pictures are still to be examined where the run goes on
    lock: Lock | None = None
    save_due: bool = False  # whether a save is due on every process, before which something else may fail
    rollbacks: Counter[Path] = field(default_factory=Counter)
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.intervals = Intervals(self.options, self.trainer.minibatch, self.trainer.length)
        self.played = self.intervals.load_state_dict(self.measured)  # seconds of steps, until `clock`
        self.clock = perf_counter()  # when the steps began that are not counted in `played`; pauses move it on
        self.speed, self.judged = Speed(), False

    def to_the_end(self) -> None:
        """Plays the whole length.

        Raises:
            Stopped: a signal came; the run has been saved.
            BadInput: a loss or gradient is not finite, a picture cannot be read, the last checkpoint or model cannot be
                written, or the folder is no longer this run's.
            DataFault: a worker died, hung or raised; the run has been saved if it is played by one process.
        """
        self.ear.playing = True
        try:
            self._play()
        finally:
            self.ear.playing, self.ear.over = False, True

    def _play(self) -> None:
        trainer, several = self.trainer, self.trainer.accelerator.num_processes > 1
        self.held_out = self.rows.held_out(self.options.samples)
        self.examined = self.rows.held_out(self.options.examined) if self.options.examined else None
        self.pending, self.steps_unasked, self.patience = 0, 0, 1
        self.begins = trainer.images_seen == 0
        if self.begins:
            with self.pause("strips", 0):
                self.show(0)
        if trainer.images_seen >= trainer.length:
            self.complete()
        if self.owed:
            with self.pause("examine", trainer.images_seen):
                self.make_up()
        self.cores = Cores() if self.log and trainer.accelerator.device.type == "cpu" else None
        if self.options.on_nonfinite == "rollback" and (self.begins or self.options.resume not in AUTO):
            self.save(trainer.images_seen)  # to have something to go back to
        place = {"process": trainer.accelerator.process_index, "processes": trainer.accelerator.num_processes}
        while True:
            try:
                reading = self.log.during("reading pictures") if self.log else nullcontext()
                with self.ear.preparing(), reading:  # those that stay in memory are read now, which may take minutes
                    batches = self.rows.batches(trainer.row, trainer.schedule.batch_size, **place)
                self.clock = self.asked_at = perf_counter()
                with closing(batches) as stream:
                    for seen in trainer.play(lambda _row, stream=stream: stream):
                        self.after_step(seen)
                return
            except NotFinite as fault:
                self.after_fault(fault)
            except (Stopped, Unsaved, Lost):
                raise
            except Exception as fault:
                alone = isinstance(fault, BadInput | DataFault) and not several
                if trainer.images_seen and trainer.between_steps and (self.save_due or alone):
                    with suppress(NotFinite):
                        self.save(trainer.images_seen)  # nothing of the next step has been played
                raise

    def after_step(self, seen: int) -> None:
        """What is due now that so many images were seen: readings, strips, a checkpoint, or to obey a signal. seen: 0
        during the discriminators' head start, when signals alone are heeded. Every process must call it.

        Raises:
            Stopped: a signal came; the run has been saved.
            NotFinite: a loss or gradient is not finite.
            Unsaved: the last word could not be saved, or there is no curve `keep_best`.
            Lost: the folder is no longer this run's.
        """
        if seen == 0:  # the discriminators' head start
            if asked := self.agreed(False, Due())[0]:
                self.stop(asked)
            return
        self.pending += self.trainer.minibatch
        due = self.intervals.by_images(seen)
        if self.log:
            self.speed.note(seen, self.seconds())
            self.log.progress(self.trainer.minibatch, self.speed.per_second)
        asked, affordable = self.agreed(due.log, self.affordable(seen, due))
        due |= affordable
        if due.log:
            if self.lock:
                self.lock.check()
            self.owed = due.examine  # not now if asked: it takes a while on a CPU, and a launcher grants 30 seconds
            self.read(seen, due.examine and not asked, due.save)
        if due.strips and not asked:
            with self.pause("strips", seen):
                self.show(seen)
        if asked and seen < self.trainer.length:
            self.stop(asked)
        if due.save:
            with self.pause("save", seen):
                self.save(seen, last_word=seen >= self.trainer.length)
        if due.log:
            self.pending, self.clock = 0, perf_counter()
        if self.log:
            self.comment(seen, due.log)

    def seconds(self) -> float:
        """Of steps so far, over all starts of the run."""
        return self.played + perf_counter() - self.clock

    @contextmanager
    def pause(self, kind: str, seen: int) -> Iterator[None]:
        """Within, the run pauses, which is measured. kind: see `SHARES` of `intervals`."""
        self.intervals.begin(kind, seen, self.seconds())
        begin = perf_counter()
        with self.log.during(PAUSES[kind]) if self.log else nullcontext():
            yield
        seconds = perf_counter() - begin
        self.clock += seconds
        self.intervals.end(kind, seconds)

    def affordable(self, seen: int, due: Due) -> Due:
        """What the main process's clock allows beside what is `due`; nothing on the others."""
        if not self.log:
            return Due()
        return self.intervals.by_clock(seen, self.seconds(), self.speed.per_second, due)

    def comment(self, seen: int, at_a_point: bool) -> None:
        """Says, each once, how long the run will take, that pauses take much of the time, that the cores are busy."""
        assert self.log
        if per_second := self.speed.settled():
            accelerator = self.trainer.accelerator
            place = accelerator.device.type, accelerator.num_processes
            length = self.trainer.length
            self.log.say(estimate(per_second, seen, length, self.config, *place, begins=self.begins))
        if not at_a_point:
            return
        whole, paused = self.played + self.intervals.spent(), self.intervals.spent()
        if not self.judged and whole > SOON and paused > MUCH * whole:
            self.judged = True
            stated = self.intervals.stated()
            now = " and ".join(f"{images:,}" for images in stated.values())
            self.log.say(
                f"what {' and '.join(stated)} (now {now} images) ask for takes {paused / whole:.0%} of the time: raise"
                " them, or leave them out, and it follows what it costs"
            )
        if self.cores and (line := self.cores.crowded()):
            self.log.say(line)

    def stop(self, number: int) -> None:
        """Saves and leaves, on every process. Raises Stopped, or Unsaved."""
        seen = self.trainer.images_seen
        self.save(seen, last_word=True, scored=False)
        self.trainer.accelerator.wait_for_everyone()  # a launcher whose first process ends gives the others 30 seconds
        again = "the same command goes on" + ("" if self.options.resume in AUTO else " with --resume auto")
        of = f"{seen:,} of {self.trainer.length:,} images"
        raise Stopped(number, f"stopped by {Signals(number).name} at {of}: saved, and {again}")

    def examine(self) -> dict[str, float]:
        """What the averaged generators do with held-out pictures, the same on every process."""
        if self.examined is None:
            return {}
        with self.trainer.averaged(self.statistics):
            return {f"held_out/{name}": value for name, value in self.trainer.examine(self.examined).items()}

    def make_up(self) -> None:
        """The points of held-out pictures that a signal has cut off."""
        values, self.owed = self.examine(), False
        if (best := self.options.keep_best) in values:
            self.scores.append(values[best])
        if self.log:
            self.log.scalars(values, self.trainer.images_seen)

    def read(self, seen: int, examining: bool, saving: bool) -> None:
        """A point of every curve. saving: whether a save is due after it."""
        waited = self.trainer.waited
        values = self.trainer.readings()  # here the host waits for the device: the clock is read after it
        self.save_due = saving  # what was played is finite: whatever fails until the save, it comes
        seconds = perf_counter() - self.clock  # of playing: looking at pictures is not counted
        self.played, self.clock = self.played + seconds, self.clock + seconds
        examined: dict[str, float] = {}
        if examining:
            with self.pause("examine", seen):
                examined = self.examine()
            self.owed = False
        values |= examined
        values |= zip(SPEED, (self.pending / seconds, waited, seen / self.rows.images_per_epoch), strict=True)
        for side in self.trainer.sides:
            values[f"{side}/total"] = sum(value for name, value in values.items() if name.startswith(f"{side}/"))
        best = self.options.keep_best
        if best in values:
            self.scores.append(values[best])
        if self.log:
            self.log.scalars(values, seen)
        if best is not None and best not in values and (examined or not best.startswith("held_out/")):  # less often
            self.save(seen)
            raise Unsaved(no_curve(best, values))

    def show(self, seen: int) -> None:
        """Strips of held-out pictures, by averaged and by raw generators, into the log; those of the averaged ones are
        also kept as files and shown to `watch`. On the main process only; a signal cuts it short."""
        if self.log is None:
            return
        for which in ("averaged", "raw"):
            if self.ear.asked:  # on a CPU strips take a while, and a launcher grants 30 seconds
                return
            strips = look(self.trainer, self.held_out, self.statistics, averaged=which == "averaged")
            names = {side: domain["name"] for side, domain in self.rows.domains().items()}
            sheets = for_the_eye(strips, gives(self.trainer.game), self.rows.forms, names)
            self.log.strips(sheets, which, seen)
            if which == "averaged":
                try:
                    keep_samples(sheets, self.folder / "samples", seen)
                except (OSError, BadInput) as error:
                    self.log.say(f"the samples could not be kept ({_line(error)}); the run goes on")
                if self.watch:
                    self.watch(seen, strips)

    def save(self, seen: int, last_word: bool = False, scored: bool = True) -> None:
        """Saves on the main process; every process must call it. A full disk does not end a run, which would save
        nothing either, until it is the last word. Without `scored` the readings of `keep_best` wait for the next one.

        Raises:
            NotFinite: there is something that must not be saved.
            Unsaved: this was the last word, and could not be saved.
            Lost: the folder is no longer this run's.
        """
        self.save_due = False
        state = self.trainer.state_dict()
        score = fmean(self.scores) if self.scores and scored else None
        self.scores = [] if scored else self.scores
        if self.log is None:
            return
        if self.lock:
            self.lock.check()
        checkpoints, curve = self.folder / CHECKPOINTS, self.options.keep_best
        trouble = self.keep_models(score)  # first: a kill between the two leaves a run that saves again
        more = {"scores": self.scores, "config": dict(self.config), "owed": self.owed}
        more["images_per_epoch"] = self.rows.images_per_epoch
        more["precision"] = str(self.trainer.accelerator.mixed_precision)
        more["intervals"] = self.intervals.state_dict(self.seconds())
        more["threads"] = number_kept(self.trainer.accelerator)
        try:
            checkpoint.save(checkpoints, seen, {**state, **more}, self.options.keep, score, curve)
        except (OSError, BadInput) as error:
            kept = [f"the last checkpoint is {path.name}" for path in checkpoint.saved(checkpoints)]
            last = ["there is no checkpoint yet", *kept][-1]
            problem = f"could not save at {seen:,} images: {self.why(error)}; {last}"
            if last_word:
                raise Unsaved(problem) from error
            self.log.say(f"{problem}; the run goes on, and tries again {self.intervals.again()}")
        else:
            self.log.flush()
        if trouble is not None:
            self.without_model(trouble)

    def keep_models(self, score: float | None = None) -> Exception | None:
        """Writes the model; that of best as well, where no checkpoint has a lower score. Returns what went wrong: it
        must not keep a checkpoint from being written."""
        try:
            with self.trainer.averaged(self.statistics):
                self.keep_model(self.folder / "model")
                scores = checkpoint.scores(self.folder / CHECKPOINTS, self.options.keep_best)
                if score is not None and score < min(scores.values(), default=inf):
                    self.keep_model(self.folder / BEST)
        except Exception as error:
            return error
        return None

    def without_model(self, trouble: Exception) -> None:
        """Says that the model could not be written; at the end of the run, whose result it is, that is an error."""
        if self.log is None or not isinstance(trouble, OSError | BadInput):
            raise trouble
        problem = f"could not write the model at {self.trainer.images_seen:,} images: {self.why(trouble)}"
        if self.trainer.images_seen >= self.trainer.length:
            raise Unsaved(f"{problem}; then the same command writes it") from trouble
        self.log.say(f"{problem}; the next save tries again")

    def complete(self) -> None:
        """Writes the model of a run that is over where it is missing or older: nothing more would be played for it."""
        if self.log is None:
            return
        with suppress(BadInput):
            if read_model(self.folder / "model").images_seen == self.trainer.images_seen:
                return
        if (trouble := self.keep_models()) is not None:
            self.without_model(trouble)

    def why(self, error: Exception) -> str:
        """What kept something from being written."""
        full = "no space left" in str(error).lower()
        return f"no space left on the disk of {self.folder}, free some" if full else _line(error)

    def agreed(self, now: bool, affordable: Due) -> tuple[int, Due]:
        """The number of a signal that any process has heard; 0: none. And what the main process finds `affordable`. The
        same answer on all of them, which ask each other `now`, and else from time to time."""
        accelerator = self.trainer.accelerator
        if accelerator.num_processes == 1:
            return self.ear.asked, affordable
        self.steps_unasked += 1
        if not now and self.steps_unasked < self.patience:
            return 0, Due()
        seconds = (perf_counter() - self.asked_at) / self.steps_unasked
        own = torch.tensor([[float(self.ear.asked), seconds, affordable.number]], device=accelerator.device)
        heard, slowest, number = accelerator.gather(own).max(0).values.tolist()  # pyright: ignore[reportAttributeAccessIssue]
        self.patience = int(min(1000, max(1, AGREE / slowest)))
        self.steps_unasked, self.asked_at = 0, perf_counter()
        return int(heard), Due.of(int(number))

    def after_fault(self, fault: NotFinite) -> None:
        """Stops, or goes back to the newest checkpoint and past the rows that did it. The same on every process."""
        files = [name for row in fault.rows for name in self.rows.files(row)]
        said = f"{fault}; the pictures were {_some(files, 8)}"
        advice = "What was saved is clean; try a lower --lr, or --clip_gradients 1"
        if self.options.on_nonfinite == "stop":
            raise BadInput(f"{said}. {advice}") from fault
        try:
            path, lines = back_to_newest(self.trainer, self.folder)
        except BadInput as error:
            raise BadInput(f"{said}; {error}") from fault
        self.rollbacks[path] += 1
        if self.rollbacks[path] > ROLLBACKS:
            raise BadInput(f"{said}, after {ROLLBACKS} returns to {path}. {advice}") from fault
        self.trainer.row = max(self.trainer.row, fault.rows.stop)
        self.scores, self.pending = [], 0
        self.intervals.rewind(self.trainer.images_seen)
        if self.log:
            self.log.rewind(self.trainer.images_seen)
            for line in [*lines, f"{said}. Back to {path.name}, and on after these rows"]:
                self.log.say(line)


class Unsaved(BadInput):
    """What must end a run without another try to save it."""


def look(
    trainer: Trainer, batch: dict[str, torch.Tensor], statistics: Sequence[Batch], averaged: bool
) -> dict[str, Images]:
    """The game's strips of a batch, by averaged or raw generators, see `Trainer.visualize` and `Trainer.averaged`."""
    if not averaged:
        return trainer.visualize(batch)
    with trainer.averaged(statistics):
        return trainer.visualize(batch)


def gives(game: Any) -> dict[str, str]:
    """Name of a generator -> the side whose pictures it makes."""
    translated = {name: target for name, (_, target) in getattr(game, "translations", {}).items()}
    return translated | dict(getattr(game, "samples", {}))


def keep_samples(strips: Mapping[str, Images], folder: Path, images_seen: int) -> None:
    """Writes each strip as folder/<images seen, 9 digits> <strip>.png.

    Raises:
        OSError: the folder cannot be made.
        BadInput: a sheet cannot be written.
    """
    claim(folder)  # it may lie among the pictures that are trained on
    for name, images in strips.items():
        contact_sheet(images, folder / f"{images_seen:09d} {name}.png")


def _some(names: list[str], count: int) -> str:
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
