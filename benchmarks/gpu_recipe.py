"""The parts of benchmarks/gpu.py that say how good the pictures are: `--recipe`, in under 9 minutes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from gpu import ROOT, SMALL, STOPPING, Bench, Part, drawn, played

LAWS = ROOT / "tests" / "pipelines" / "core" / "test_real_gpu.py"
JUDGE_SIZE, JUDGES_IMAGES = 128, 60_000
TWO_SECONDS = 40  # of each training of the last part


def recipe(bench: Bench) -> Iterator[str]:
    """`half-hour`, which is cut with a discriminator on features, at the size of all other parts, and what a judge that
    shares nothing with its discriminators says of it."""
    from digits import frechet
    from real_minutes import changes, judge, read, share_of_zebras, verdict

    import quagga
    from quagga.data.io.contact_sheet import contact_sheet

    small = bench.scale is SMALL
    root = bench.root or drawn(bench.output / "set", bench.scale.size)
    run, seconds = bench.output / "half-hour", min(12 if small else 240, bench.left() - STOPPING - 40)
    words = f"--recipe half-hour --root {root} --output {run} --load_size {bench.scale.size * 286 // 256}"
    words += f" --crop_size {bench.scale.size} --width {bench.scale.width} --batch_size {2 if small else 8} --cache ram"
    words += f" --device {bench.device} --images 10000000 --decay 0 --examined 0 --log_every {8 if small else 400}"
    words += f" --blocks {1 if small else 9} --workers {0 if small else 8}"
    yield f"quagga train {words.replace(str(bench.output), 'OUTPUT')}, for {seconds:.0f} s"
    yield from played(words.split(), seconds, pipeline="cut")
    to_zebra = quagga.load(run, device=bench.device)
    size = 32 if small else JUDGE_SIZE
    found = judge(Path(root), bench.output, size, bench.device, 256 if small else JUDGES_IMAGES)
    horses, zebras, real = (read(Path(root) / part, size) for part in ("testA", "testB", "trainB"))
    large = read(Path(root) / "testA", bench.scale.size)
    made = torch.cat([to_zebra(x).cpu() for x in large.split(8)])
    shrunk = torch.nn.functional.interpolate(made, (size, size), mode="area")
    told = {"horses as they are": horses, "translated": shrunk, "real zebras": zebras}
    features = verdict(found, real)[1]
    for name, x in told.items():
        p, hidden = verdict(found, x)
        yield f"{name:<20}called zebra {share_of_zebras(p):>7.1%}   Frechet distance {frechet(hidden, features):>10.1f}"
    yield "change in the middle {:.3f}, in the frame {:.3f}, of a range of 2".format(*changes(large, made))
    some = torch.linspace(0, len(large) - 1, min(24, len(large))).long()
    contact_sheet({"x": large[some], "G(x)": made[some]}, bench.output / "half-hour.png")
    yield "half-hour.png shows 24 horses: look at them"


def laws(bench: Bench) -> Iterator[str]:
    """The tests that need a GPU."""
    if find_spec("pytest") is None:
        yield "left out: pytest is not installed"
        return
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", str(LAWS)]
    ran = subprocess.run(line, capture_output=True, text=True, timeout=max(10, bench.left()), cwd=ROOT)
    yield from ran.stdout.strip().splitlines()[-12:]


def two_processes(bench: Bench) -> Iterator[str]:
    """The same training by one process and by two, each with the same batch: images/s."""
    if bench.device.startswith("cuda") and torch.cuda.device_count() < 2:
        yield "left out: there is one GPU"
        return
    root, small = bench.root or drawn(bench.output / "set", bench.scale.size), bench.scale is SMALL
    rates = []
    for count in (1, 2):
        run = bench.output / f"processes{count}"
        words = f"--root {root} --output {run} --crop_size {bench.scale.size} --load_size {bench.scale.size}"
        words += f" --width {bench.scale.width} --batch_size {1 if small else 8} --cache ram --images 1000000"
        words += f" --device {bench.device.split(':')[0]} --examined 0 --log_every {2 if small else 160}"
        words += "".join(f" --{name} {value}" for name, value in bench.scale.build.items())
        launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(count)]
        yield from played(words.split(), TWO_SECONDS, launcher=launcher if count > 1 else [])
        rates.append(rate_of(run))
        yield f"{count} x {bench.device}: {rates[-1]:.4g} images/s"
    yield f"two over one: {rates[1] / rates[0]:.2f}"


def rate_of(run: Path) -> float:
    """Images/s in the second half of a run, by its curve of it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    points = events.Scalars("speed/images_per_second")
    return median(point.value for point in points[len(points) // 2 :])


PARTS = (
    Part("the recipe half-hour", recipe, 240),
    Part("laws on this device", laws, 60),
    Part("one process and two", two_processes, 2 * (TWO_SECONDS + STOPPING)),
)
