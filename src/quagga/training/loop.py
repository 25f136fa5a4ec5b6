"""The training loop: takes the steps of a run, pauses where that is due, and handles what fails."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from signal import Signals
from statistics import fmean

from quagga.data.io.contact_sheet import strips_for_display
from quagga.data.loading.row_order import DataFault
from quagga.errors import BadInput, one_line, some
from quagga.pipelines.core.game_protocol import Images
from quagga.pipelines.core.minimax_trainer import NotFinite, Trainer
from quagga.training.hardware.cpu_threads import thread_count_to_save
from quagga.training.intervals import Due, Intervals
from quagga.training.lock import LockLost
from quagga.training.reporting.best_checkpoint import BestCheckpoint, NoBetterSince
from quagga.training.reporting.curve_names import SPEED_CURVES, unknown_curve_error
from quagga.training.reporting.diagnosis_watch import DiagnosisWatch
from quagga.training.reporting.sample_sheets import StripCallback, draw_strips, output_domains, write_sample_sheets
from quagga.training.reporting.speed_report import SpeedReport
from quagga.training.reporting.step_clock import StepClock
from quagga.training.reporting.time_estimate import SpeedMeter
from quagga.training.resume import CHECKPOINTS, Resumed, roll_back
from quagga.training.run_context import RunContext
from quagga.training.save_failures import RunSaver, SaveFailed, WriteModel
from quagga.training.setup.run_data import RunData, open_batches
from quagga.training.signals import Stopped
from quagga.training.step_agreement import StepAgreement

MAX_ROLLBACKS = 3  # to one checkpoint
PAUSE_TEXTS = {
    "examine": "examining held-out pictures",
    "strips": "drawing strips of held-out pictures",
    "save": "saving",
}
RESUME_AUTO = ("auto", "latest")  # values of --resume with which the same command resumes the run


class TrainingLoop:
    """Trains one run to its end.

    Args:
        trainer: stands where the run begins or resumes.
        data: the training data of each phase, and what is read beside its minibatches.
        run: options, folder, log, signals.
        resumed: what the checkpoint knows beside the trainer's state.
        write_model: writes the game's generators into a folder.
        on_strips: is called with the strips of averaged generators; None: nobody is.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: Sequence[RunData],
        run: RunContext,
        resumed: Resumed,
        write_model: WriteModel,
        on_strips: StripCallback | None = None,
    ):
        self.trainer, self.data_of_phases, self.context, self.on_strips = trainer, data, run, on_strips
        self.options, self.log, self.signals = run.options, run.log, run.signals
        self.begins = trainer.images_seen == 0  # whether this start is the run's first
        # Values of the curve `keep_best` since the last checkpoint.
        self.pending_scores = resumed.scores
        # Whether a signal has cut off an examination of held-out pictures, still to be made up for.
        self.examination_pending = resumed.examination_pending
        self.save_due = False  # whether a save is due on every process, before which something else may fail
        self.rollbacks: Counter[Path] = Counter()  # returns to each checkpoint
        self.images_since_point = 0  # of the curves
        self.intervals = Intervals(run.options, max(phase.minibatch for phase in trainer.phases), trainer.length)
        self.clock = StepClock(self.intervals.load_state_dict(resumed.interval_state))
        self.speed = SpeedMeter()
        self.agreement = StepAgreement(trainer.accelerator, run.signals)
        self.saver = RunSaver(trainer, run, run.log, write_model) if run.log else None
        self.best = BestCheckpoint(run.folder / CHECKPOINTS, run.options, trainer.length, trainer.accelerator)
        self.report = self.diagnoses = None
        if run.log:
            self.report = SpeedReport(run.log, trainer, self.speed, self.intervals, run.config, self.begins)
            self.diagnoses = DiagnosisWatch(run.log, run.config, trainer.minibatch)

    @property
    def data(self) -> RunData:
        """The data of the phase in which the last step was taken, at the border too: what was trained is looked at."""
        return self.data_of_phases[self.trainer.phase.index]

    def run(self) -> None:
        """Trains to the run's full length, or until `stop_when` is so.

        Raises:
            Stopped: a signal came; the run has been saved.
            BadInput: a loss or gradient is not finite, a picture cannot be read, the last checkpoint or model cannot be
                written, or the folder is no longer this run's.
            DataFault: a worker died, hung or raised; the run has been saved if it has a single process.
        """
        self.signals.in_training = True
        try:
            self.before_first_step()
            with suppress(NoBetterSince):
                if self.options.stop_when == "no_better" and self.trainer.images_seen < self.trainer.length:
                    self.best.check(self.trainer.images_seen, self.log)  # the same command goes no further
                while self.trainer.images_seen < self.trainer.length:
                    try:
                        self.take_steps()
                    except NotFinite as fault:
                        self.handle_nonfinite(fault)
                    except (Stopped, SaveFailed, LockLost, NoBetterSince):
                        raise
                    except Exception as fault:
                        self.save_before_ending(fault)
                        raise
        finally:
            self.signals.in_training, self.signals.finished = False, True

    def before_first_step(self) -> None:
        """Does what a run does before its first step, or what it did not come to before it was stopped."""
        seen = self.trainer.images_seen
        if self.begins:
            with self.pause("strips", 0):
                self.show_strips(0)
        if seen >= self.trainer.length and self.saver:
            self.saver.write_missing_model(self.data)
        if self.examination_pending:
            with self.pause("examine", seen):
                self.make_up_examination()
        if self.options.on_nonfinite == "rollback" and (self.begins or self.options.resume not in RESUME_AUTO):
            self.save(seen)  # so that there is a checkpoint to roll back to

    def take_steps(self) -> None:
        """Takes steps from where the trainer stands to the end of the phase, with all that is due between them."""
        reading = self.log.during("reading pictures") if self.log else nullcontext()
        with self.signals.leaving_at_once(), reading:  # filling a cache may take minutes
            batches = open_batches(self.data_of_phases, self.trainer)
        self.clock.restart()
        self.agreement.restart_clock()
        with closing(batches):
            for seen in self.trainer.play(batches):
                self.after_step(seen)

    def save_before_ending(self, fault: Exception) -> None:
        """Saves before `fault` ends the run, if every process comes here: a save was due, or there is no other."""
        alone = isinstance(fault, BadInput | DataFault) and self.trainer.accelerator.num_processes == 1
        if self.trainer.images_seen and self.trainer.between_steps and (self.save_due or alone):
            with suppress(NotFinite):
                self.save(self.trainer.images_seen)  # nothing of the next step has been computed

    def after_step(self, seen: int) -> None:
        """Does what is due after so many images: log, strips, checkpoint, or obey a signal. Every process must call it.

        Args:
            seen: images seen; 0 during the discriminators' head start, when only signals are obeyed.

        Raises:
            Stopped: a signal came; the run has been saved.
            NotFinite: a loss or gradient is not finite.
            SaveFailed: the last save failed, or there is no curve `keep_best`.
            LockLost: the folder is no longer this run's.
            NoBetterSince: the run ends here.
        """
        if seen == 0:  # the discriminators' head start
            if signal := self.agreement.exchange(False, Due())[0]:
                self.save_and_stop(signal)
            return
        self.images_since_point += self.trainer.minibatch
        self.intervals.minibatch = self.trainer.minibatch  # a phase may have its own
        due = self.intervals.due_by_images(seen)
        if self.log:
            self.speed.update(seen, self.clock.seconds())
            self.log.progress(self.trainer.minibatch, self.speed.images_per_second)
        signal, affordable = self.agreement.exchange(due.log, self.affordable_pauses(seen, due))
        due |= affordable
        if due.log:
            if self.context.lock:
                self.context.lock.check()
            # Not examined after a signal: that takes a while on a CPU, and a launcher grants 30 seconds.
            self.examination_pending = due.examine
            self.log_point(seen, due.examine and not signal, due.save)
        if due.strips and not signal:
            with self.pause("strips", seen):
                self.show_strips(seen)
        if signal and seen < self.trainer.length:
            self.save_and_stop(signal)
        if due.save:
            with self.pause("save", seen):
                self.save(seen, is_last=seen >= self.trainer.length)
            self.best.check(seen, self.log)
        if due.log:
            self.images_since_point = 0
            self.clock.restart()
        if self.report:
            self.report.update(seen, self.clock.counted, due.log)
        if self.diagnoses and due.log:
            self.diagnoses.say(seen)

    @contextmanager
    def pause(self, kind: str, seen: int) -> Iterator[None]:
        """Measures a pause: the block. kind: see `TIME_SHARES` of `intervals`."""
        self.intervals.begin_pause(kind, seen, self.clock.seconds())
        begin = self.clock.now()
        with self.log.during(PAUSE_TEXTS[kind]) if self.log else nullcontext():
            yield
        self.intervals.end_pause(kind, self.clock.end_pause(begin))

    def affordable_pauses(self, seen: int, due: Due) -> Due:
        """Returns the pauses that the main process's clock allows beside those that are `due`; none on the others."""
        if not self.log:
            return Due()
        return self.intervals.due_by_clock(seen, self.clock.seconds(), self.speed.images_per_second, due)

    def save_and_stop(self, signal: int) -> None:
        """Saves and ends the run, on every process. Raises Stopped, or SaveFailed."""
        seen = self.trainer.images_seen
        self.save(seen, is_last=True, with_score=False)
        self.trainer.accelerator.wait_for_everyone()  # a launcher whose first process ends gives the others 30 seconds
        again = "the same command goes on" + ("" if self.options.resume in RESUME_AUTO else " with --resume auto")
        of = f"{seen:,} of {self.trainer.length:,} images"
        raise Stopped(signal, f"stopped by {Signals(signal).name} at {of}: saved, and {again}")

    def examine_held_out(self) -> dict[str, float]:
        """Returns the held-out curves' values for the averaged generators, the same on every process."""
        if self.data.examined is None:
            return {}
        with self.trainer.averaged(self.data.statistics):
            return {f"held_out/{name}": value for name, value in self.trainer.examine(self.data.examined).items()}

    def make_up_examination(self) -> None:
        """Logs the point of the held-out curves that a signal has cut off."""
        values, self.examination_pending = self.examine_held_out(), False
        if (best := self.options.keep_best) in values:
            self.pending_scores.append(values[best])
        if self.log:
            self.log.scalars(values, self.trainer.images_seen)

    def log_point(self, seen: int, examine: bool, save_follows: bool) -> None:
        """Logs a point of every curve.

        Args:
            seen: images seen.
            examine: whether held-out pictures are examined.
            save_follows: whether a save is due after it.
        """
        waited = self.trainer.waited
        values = self.trainer.readings()  # here the host waits for the device: the clock is read after it
        self.save_due = save_follows  # what was computed is finite: the save comes, whatever fails before it
        seconds = self.clock.count()
        held_out: dict[str, float] = {}
        if examine:
            with self.pause("examine", seen):
                held_out = self.examine_held_out()
            self.examination_pending = False
        values |= held_out
        speed = self.images_since_point / seconds, waited, seen / self.data.rows.images_per_epoch
        values |= zip(SPEED_CURVES, speed, strict=True)
        for side in self.trainer.sides:
            values[f"{side}/total"] = sum(value for name, value in values.items() if name.startswith(f"{side}/"))
        best = self.options.keep_best
        if best in values:
            self.pending_scores.append(values[best])
        if self.log:
            self.log.scalars(values, seen)
        if self.diagnoses:
            self.diagnoses.add_point(seen, values)
        # Held-out curves have fewer points than the others.
        if best is not None and best not in values and (held_out or not best.startswith("held_out/")):
            self.save(seen)
            raise SaveFailed(unknown_curve_error(best, values))

    def show_strips(self, seen: int) -> None:
        """Logs strips of held-out pictures, by averaged and by raw generators; those of the averaged ones are also
        written as files and given to `on_strips`. On the main process only; a signal cuts it short."""
        if self.log is None:
            return
        drawn: dict[str, dict[str, Images]] = {}
        for which in ("averaged", "raw"):
            if self.signals.received:  # on a CPU strips take a while, and a launcher grants 30 seconds
                return
            strips = draw_strips(self.trainer, self.data.shown, self.data.statistics, averaged=which == "averaged")
            drawn[which] = strips
            names = {side: domain["name"] for side, domain in self.data.rows.domains().items()}
            sheets = strips_for_display(strips, output_domains(self.trainer.game), self.data.rows.forms, names)
            self.log.strips(sheets, which, seen)
            if which == "averaged":
                try:
                    write_sample_sheets(sheets, self.context.folder / "samples", seen)
                except (OSError, BadInput) as error:
                    self.log.say(f"the samples could not be kept ({one_line(error)}); the run goes on")
                if self.on_strips:
                    self.on_strips(seen, strips)
        if self.diagnoses:
            self.diagnoses.add_strips(seen, drawn["averaged"], drawn["raw"])

    def save(self, seen: int, is_last: bool = False, with_score: bool = True) -> None:
        """Saves model and checkpoint on the main process; every process must call it.

        Args:
            seen: images seen.
            is_last: whether no other save follows, so that a failure must end the run.
            with_score: whether the checkpoint is scored; otherwise the values of `keep_best` wait for the next one.

        Raises:
            NotFinite: there is something that must not be saved.
            SaveFailed: the last save failed.
            LockLost: the folder is no longer this run's.
        """
        self.save_due = False
        state = self.trainer.state_dict()
        score = fmean(self.pending_scores) if self.pending_scores and with_score else None
        self.pending_scores = [] if with_score else self.pending_scores
        if self.saver is None:
            return
        self.saver.check_lock()
        # The model first: after a kill between the two, a resumed run saves again.
        model_error = self.saver.write_models(self.data, score)
        config = dict(self.context.config)
        more = {"scores": self.pending_scores, "config": config, "owed": self.examination_pending}
        more["images_per_epoch"] = self.data.rows.images_per_epoch
        more["precision"] = str(self.trainer.accelerator.mixed_precision)
        more["intervals"] = self.intervals.state_dict(self.clock.seconds())
        more["threads"] = thread_count_to_save(self.trainer.accelerator)
        self.saver.write_checkpoint(seen, {**state, **more}, score, self.intervals.next_save_text(), is_last)
        if model_error is not None:
            self.saver.report_model_failure(model_error)

    def handle_nonfinite(self, fault: NotFinite) -> None:
        """Ends the run, or rolls back to the newest checkpoint and skips the rows at fault. The same on every process.

        Raises:
            BadInput: the run ends.
        """
        files = [name for row in fault.rows for name in self.data.rows.files(row)]
        problem = f"{fault}; the pictures were {some(files, 8)}"
        advice = "What was saved is clean; try a lower --lr, or --clip_gradients 1"
        if self.options.on_nonfinite == "stop":
            raise BadInput(f"{problem}. {advice}") from fault
        try:
            path, lines = roll_back(self.trainer, self.context.folder)
        except BadInput as error:
            raise BadInput(f"{problem}; {error}") from fault
        self.rollbacks[path] += 1
        if self.rollbacks[path] > MAX_ROLLBACKS:
            raise BadInput(f"{problem}, after {MAX_ROLLBACKS} returns to {path}. {advice}") from fault
        self.trainer.row = max(self.trainer.row, fault.rows.stop)
        self.pending_scores, self.images_since_point = [], 0
        self.intervals.rewind(self.trainer.images_seen)
        if self.diagnoses:
            self.diagnoses.rewind(self.trainer.images_seen)
        if self.log:
            self.log.rewind(self.trainer.images_seen)
            for line in [*lines, f"{problem}. Back to {path.name}, and on after these rows"]:
                self.log.say(line)
