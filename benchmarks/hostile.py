"""What a stranger may send: bombs, archives that climb, models and configs that want to run. Does the suite call out?

python benchmarks/hostile.py --output benchmarks/results/hostile.txt     # --suite also runs the fast tests, minutes

Every case is played in a process of its own, forked when all is imported: its seconds, and the memory it takes on top.
A case is held when it ends in one line of BadInput, ran no payload (a file called `canary` would be there) and left no
byte outside its target. Needs fork (Linux, macOS); memory is read from /proc (Linux).
"""

import argparse
import contextlib
import gzip
import io
import json
import os
import pickle
import platform
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS, MEGABYTES = 1.0, 50.0  # promised of bombs and archives
PATIENCE = 10  # seconds after which a case is ended
MOST_MEMORY = 4 << 30  # above what the imports take; a case that wants more fails there


@dataclass
class Outcome:
    """How a case ended."""

    group: str
    name: str
    code: int | None  # exit code of the command line; None: it did not end by itself
    said: str  # its last line on stderr
    lines: int
    seconds: float
    megabytes: float
    outside: int  # bytes that were written outside the target
    payload: bool  # whether the canary is there

    @property
    def held(self) -> bool:
        in_words = self.code == 2 and self.lines == 1 and self.said.startswith("quagga: error: ")
        quick = self.group != "bomb" or (self.seconds < SECONDS and self.megabytes < MEGABYTES)
        return in_words and quick and not self.payload and self.outside == 0


# -- bombs and archives: written into a folder, the command's words come back -----------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(path: Path, side: int, before: bytes = b"") -> Path:
    """A PNG of side x side black pixels of 1 bit, deflated to almost nothing."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + before + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def zipped(path: Path, files: dict[str, bytes], kind: int = stat.S_IFREG) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type, entry.external_attr = name, zipfile.ZIP_DEFLATED, (kind | 0o777) << 16
            packed.writestr(entry, content)
    return path


def tarred(path: Path, entries: list[tuple[str, bytes, str, bytes]]) -> Path:
    """A tar.gz of (name, type, target of the link, content)."""
    with tarfile.open(path, "w:gz") as packed:
        for name, kind, link, content in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, link, len(content)
            packed.addfile(entry, io.BytesIO(content))
    return path


def archives(place: Path) -> Iterator[tuple[str, Path]]:
    """(what it is, the file). All that is evil wants to lie in `place`, beside the folder of the case."""
    million = bytes(1 << 20)
    evil = place / "evil.txt"
    reg, sym, hard = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE

    bomb = place / "bomb.zip"
    zipped(bomb, {"set/trainA/zeros.png": million * 200})
    yield f"zip of {bomb.stat().st_size // 1000} KB that unpacks to 200 MB", bomb
    yield "zip of 200 files of 1 MB each", zipped(place / "many.zip", {f"set/{n}": million for n in range(200)})
    lying = zipped(place / "lying.zip", {"set/zeros": million * 200})
    size = (200 << 20).to_bytes(4, "little")
    lying.write_bytes(lying.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    yield "zip of 200 MB that declares 1 KB", lying
    yield "zip of 1,000 files that share their bytes", overlapping(place / "overlap.zip")
    yield "tar.gz that unpacks to 200 MB", tarred(place / "bomb.tar.gz", [("set/zeros", reg, "", million * 200)])
    yield "tar.gz of 100,000 empty folders", folders(place / "folders.tar.gz")
    yield "tar.gz, 900 folders deep", tarred(place / "deep.tar.gz", [("d/" * 900 + "f", reg, "", b"1")])
    yield "tar.gz with a name of 200 MB", long_name(place / "name.tar.gz", tarfile.GNUTYPE_LONGNAME, b"n" * (200 << 20))
    yield (
        "tar.gz with a header of 10 MB of digits",
        long_name(place / "digits.tar.gz", tarfile.XHDTYPE, b"9" * 10_000_000),
    )
    for name in ("../../evil.txt", "set/../../../evil.txt", "..\\..\\evil.txt", str(evil), "C:\\evil.txt"):
        files = {"set/trainA/1.jpg": b"1", name: b"evil"}
        yield f"zip with {name if name != str(evil) else 'an absolute name'}", zipped(place / "a.zip", files)
        entries = [(name, reg, "", content) for name, content in files.items()]
        yield f"tar.gz with {name if name != str(evil) else 'an absolute name'}", tarred(place / "a.tar.gz", entries)
    yield "zip with a link to /etc/passwd", zipped(place / "l.zip", {"set/l": b"/etc/passwd"}, stat.S_IFLNK)
    yield "zip with a device", zipped(place / "d.zip", {"set/d": b""}, stat.S_IFCHR)
    yield (
        "tar.gz with a link, and a file through it",
        tarred(place / "link.tar.gz", [("set/up", sym, "../..", b""), ("set/up/evil.txt", reg, "", b"evil")]),
    )
    yield "tar.gz with a hard link", tarred(place / "hard.tar.gz", [("set/h", hard, "/etc/passwd", b"")])
    for kind, word in ((tarfile.CHRTYPE, "device"), (tarfile.BLKTYPE, "disk"), (tarfile.FIFOTYPE, "pipe")):
        yield f"tar.gz with a {word}", tarred(place / "dev.tar.gz", [("set/d", kind, "", b"")])
    yield "tar.gz with a.jpg and A.JPG", tarred(place / "case.tar.gz", [(n, reg, "", b"1") for n in ("a.jpg", "A.JPG")])


def overlapping(path: Path) -> Path:
    """A thousand entries of 200 KB that all point at the same bytes (Fifield 2019, A better zip bomb)."""
    whole = zipped(path, {"set/000000": bytes(200_000)}).read_bytes()
    start = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")
    entry = whole[start:end]
    listed = b"".join(entry.replace(b"set/000000", f"set/{n:06}".encode()) for n in range(1000))
    tail = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1000, 1000, len(listed), start, 0)
    path.write_bytes(whole[:start] + listed + tail)
    return path


def folders(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for number in range(100_000):
            entry = tarfile.TarInfo(f"set/{number}")
            entry.type = tarfile.DIRTYPE
            packed.addfile(entry)
    return path


def long_name(path: Path, kind: bytes, content: bytes) -> Path:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = kind, len(content)
    path.write_bytes(gzip.compress(entry.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512 + 1024), 9))
    return path


def bombs(place: Path) -> Iterator[tuple[str, Callable[[Path], object]]]:
    """(what it is, what one does with it in a folder of its own)."""
    from quagga.data.archive import unpack
    from quagga.data.decode import SUFFIXES, read_picture

    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 << 20), 9))
    profile = chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(100 << 20), 9))
    huge = struct.pack("<II", 60_000, 60_000)
    files = {
        "PNG of 30000 x 30000": png(place / "bomb.png", 30_000),
        "PNG of 2 billion x 2 billion": place / "header.png",
        "PNG with 100 MB of text": png(place / "text.png", 30_000, text),
        "PNG with a colour profile of 100 MB": png(place / "profile.png", 30_000, profile),
        "GIF of 65535 x 65535": place / "bomb.gif",
        "BMP of 60000 x 60000": place / "bomb.bmp",
    }
    sides = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    files["PNG of 2 billion x 2 billion"].write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", sides) + chunk(b"IEND", b"")
    )
    files["GIF of 65535 x 65535"].write_bytes(
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        + b","
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\2\0;"
    )
    files["BMP of 60000 x 60000"].write_bytes(
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<I", 40)
        + huge
        + struct.pack("<HHIIIIII", 1, 24, 0, 0, 0, 0, 0, 0)
    )
    for name, path in files.items():
        yield name, lambda case, path=path: read_picture(path)
    if ".npz" in SUFFIXES:
        path = place / "bomb.npz"
        header = b"\x93NUMPY\1\0" + struct.pack("<H", 118)
        header += b"{'descr': '|u1', 'fortran_order': False, 'shape': (20000, 10000, 1), }".ljust(117) + b"\n"
        zipped(path, {"arr_0.npy": header + bytes(200_000_000)})
        yield "npz that unpacks to 200 MB", lambda case: read_picture(path)
    for number, (name, path) in enumerate(archives(place)):
        kept = path.rename(place / f"{number}")  # the next may bear the same name
        yield name, lambda case, kept=kept: unpack(kept, case / "in" / "target")


Damage = Callable[[Path, str], object]  # changes a run that was sent; a payload is to touch the file of this name


# -- models, configs and checkpoints: a good run, of which one thing is changed ---------------------------------------


class Payload:
    """Pickled, it touches the canary when it is read."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch {self.canary}",)


def good_run(place: Path) -> Path:
    """A run of 4 images with a checkpoint and a model, beside its pictures."""
    from quagga.data import embedded
    from quagga.pipelines.cli import command_line

    pictures = embedded.write(place / "pictures", train=4, test=2, size=16)
    small = ["--load_size=16", "--crop_size=16", "--width=4", "--blocks=1", "--width_discriminator=4", "--layers=1"]
    words = [*small, "--workers=0", "--device=cpu", "--images=4", "--batch_size=2", "--root", str(pictures), "--output"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        assert command_line(["train", "cyclegan", *words, str(place / "good")]) == 0
    return place / "good"


def card_with(change: Callable[[dict[str, Any]], object]) -> Damage:
    """Changes model.json as parsed."""

    def damage(run: Path, canary: str) -> None:
        path = run / "model" / "model.json"
        card = json.loads(path.read_text())
        change(card)
        path.write_text(json.dumps(card))

    return damage


def option(**values: Any) -> Damage:
    return card_with(lambda card: card["options"].update(values))


def file_with(name: str, content: Callable[[str], bytes]) -> Damage:
    """Replaces a file of the model, and its hash in model.json, so that it is the content that is refused."""

    def damage(run: Path, canary: str) -> None:
        import hashlib

        data = content(canary)
        (run / "model" / name).write_bytes(data)
        if name != "model.json":
            card_with(lambda card: card["files"].update({name: hashlib.sha256(data).hexdigest()}))(run, canary)

    return damage


def link(name: str, target: str) -> Damage:
    def damage(run: Path, canary: str) -> None:
        (run / "model" / name).unlink()
        (run / "model" / name).symlink_to(target)

    return damage


def pipe(run: Path, canary: str) -> None:
    (run / "model" / "G.safetensors").unlink()
    os.mkfifo(run / "model" / "G.safetensors")


def climbing(run: Path, canary: str) -> None:
    shutil.copy(run / "model" / "G.safetensors", run / "outside.safetensors")
    card_with(lambda card: card.update(translations={"../outside": ["x", "y"]}))(run, canary)


def torch_file(canary: str) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"weights": Payload(canary)}, buffer)
    return buffer.getvalue()


def safetensors(header: dict[str, Any] | bytes, data: bytes = b"") -> Callable[[str], bytes]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda canary: struct.pack("<Q", len(text)) + text + data


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


CLASS = {"class_path": "os.system", "init_args": {"command": "touch CANARY"}}
TENSOR = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
MODELS: dict[str, Damage] = {
    "weights: a pickle": file_with("G.safetensors", lambda canary: pickle.dumps(Payload(canary))),
    "weights: a file of torch.save": file_with("G.safetensors", torch_file),
    "weights: a header of 2**60 bytes": file_with("G.safetensors", lambda canary: struct.pack("<Q", 1 << 60) + b"{}"),
    "weights: tensors of 4 TB": file_with("G.safetensors", safetensors({"layers.0.weight": TENSOR})),
    "weights: a header of nested lists": file_with("G.safetensors", safetensors(b'{"a":' + b"[" * 50_000)),
    "weights: a picture": file_with("G.safetensors", lambda canary: b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    "weights: nothing": file_with("G.safetensors", lambda canary: b""),
    "weights: a link to /dev/zero": link("G.safetensors", "/dev/zero"),
    "weights: a link to /etc/passwd": link("G.safetensors", "/etc/passwd"),
    "weights: a pipe that nobody fills": pipe,
    "model.json: a pickle": file_with("model.json", lambda canary: pickle.dumps(Payload(canary))),
    "model.json: 100,000 brackets": file_with("model.json", lambda canary: b"[" * 100_000),
    "model.json: 100 MB": file_with("model.json", lambda canary: b"[" + b"1," * 50_000_000 + b"1]"),
    "model.json: a link to /dev/zero": link("model.json", "/dev/zero"),
    "model.json: a number of 1,000,000 digits": file_with(
        "model.json", lambda canary: b'{"format": ' + b"9" * 10**6 + b"}"
    ),
    "model.json: a key twice": lambda run, canary: (run / "model" / "model.json").write_text(
        '{"pipeline": "os",' + (run / "model" / "model.json").read_text().lstrip()[1:]
    ),
    "model.json: YAML": file_with("model.json", lambda canary: b"!!python/object/apply:os.system ['touch CANARY']"),
    "model.json: the pipeline os": card_with(lambda card: card.update(pipeline="os")),
    "model.json: the pipeline ../evil": card_with(lambda card: card.update(pipeline="../evil")),
    "model.json: a network outside the folder": climbing,
    "model.json: a class in an option": option(norm=CLASS),
    "model.json: a class in a list": option(diffaugment=[CLASS]),
    "model.json: a class 600 lists deep": option(diffaugment=json.loads("[" * 600 + json.dumps(CLASS) + "]" * 600)),
    "model.json: a list 900 deep": option(diffaugment=nested(900)),
    "model.json: width 10**9": option(width=10**9),
    "model.json: width -1": option(width=-1),
    "model.json: width 10**30": option(width=10**30),
    "model.json: blocks 10**9": option(blocks=10**9),
    "model.json: U-Net of depth 10**9": option(generator="unet", blocks=10**9),
    "model.json: layers 10**9": option(layers=10**9),
    "model.json: channels 10**9": option(x_channels=10**9),
    "model.json: pool_size NaN": option(pool_size=float("nan")),
    "model.json: lambda_cycle a dictionary": option(lambda_cycle={"a": 1}),
    "model.json: domains of 10**9 channels": card_with(lambda card: card["domains"]["x"].update(channels=10**9)),
}


def yaml(text: str) -> Damage:
    """A config that says this after what it must."""

    def write(run: Path, canary: str) -> None:
        lines = (run / "config.yaml").read_text().splitlines()
        keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
        kept = [line for line in lines if line.partition(":")[0] not in keys | {"output"}]
        out = f"output: {run / 'new'}"
        (run / "hostile.yaml").write_text("\n".join([*kept, out, text.replace("CANARY", canary), ""]))

    return write


def config_bytes(content: Callable[[str], bytes]) -> Damage:
    return lambda run, canary: (run / "hostile.yaml").write_bytes(content(canary))


LAUGHS = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" if n else "l0: &l0 [ha, ha]" for n in range(10))
CONFIGS: dict[str, Damage] = {
    "config: a class of Python": yaml("augment: !!python/object/apply:os.system ['touch CANARY']"),
    "config: a new object of Python": yaml("augment: !!python/object/new:os.system ['touch CANARY']"),
    "config: a module of Python": yaml("augment: !!python/module:this"),
    "config: class_path": yaml("augment: {class_path: os.system, init_args: {command: touch CANARY}}"),
    "config: class_path for a word": yaml("norm: {class_path: os.system, init_args: {command: touch CANARY}}"),
    "config: a transform that is none": yaml("augment: {Lambda: {image: os.system}}"),
    "config: a transform with a path": yaml("augment: {../../evil: {p: 1.0}}"),
    "config: a pickle": config_bytes(lambda canary: pickle.dumps(Payload(canary))),
    "config: a billion laughs": yaml(f"{LAUGHS}\naugment: *l9"),
    "config: a list that holds itself": yaml("augment: &a [*a]"),
    "config: 100,000 brackets": yaml("augment: " + "[" * 100_000),
    "config: 500 brackets": yaml("augment: " + "[" * 500 + "]" * 500),
    "config: a number of 100,000 digits": yaml("width: " + "9" * 100_000),
    "config: a day that is none": yaml("seed: 2024-99-99"),
    "config: 50 MB": yaml("augment: '" + "a" * 50_000_000 + "'"),
    "config: width 10**9": yaml("width: 1000000000"),
    "config: width -3": yaml("width: -3"),
    "config: blocks 10**9": yaml("blocks: 1000000000"),
    "config: layers 10**9": yaml("layers: 1000000000"),
    "config: crop_size 10**9": yaml("crop_size: 1000000000\nload_size: 1000000000"),
    "config: batch_size 10**12": yaml("batch_size: 1000000000000"),
    "config: workers 10**9": yaml("workers: 1000000000"),
    "config: worker_timeout NaN": yaml("worker_timeout: .nan"),
    "config: lr NaN": yaml("lr: .nan"),
    "config: epochs infinite": yaml("images: null\nepochs: .inf"),
    "config: seed of 40 digits": yaml("seed: " + "9" * 40),
    "config: a key twice": yaml("seed: 1\nseed: 2"),
    "config: keys of other kinds": yaml("? [1, 2]\n: 3"),
    "config: another pipeline": yaml("pipeline: os"),
    "config: control characters": yaml('root: "a\\0b"'),
    "config: a config within": yaml("config: hostile.yaml"),
}


def checkpoint_with(change: Callable[[Path], object]) -> Damage:
    """Changes files of the newest checkpoint; the manifest then vouches for them, as a stranger's would."""

    def damage(run: Path, canary: str) -> None:
        import hashlib

        from quagga.pipelines import checkpoint

        path = max((run / "checkpoints").iterdir())
        change(path)
        manifest = json.loads((path / "manifest.json").read_text())
        for name in manifest["sha256"]:
            if (path / name).is_file():
                manifest["sha256"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
        del manifest["self"]
        (path / "manifest.json").write_text(json.dumps({**manifest, "self": checkpoint.own_digest(manifest)}))

    return damage


def state_with(old: str, new: str) -> Damage:
    def change(path: Path) -> None:
        text = (path / "state.json").read_text()
        changed = re.sub(old, new, text, count=1)
        assert changed != text
        (path / "state.json").write_text(changed)

    return checkpoint_with(change)


CHECKPOINTS: dict[str, Damage] = {
    "checkpoint: tensors that are not there": state_with(r'\{"tensor": "\d+"\}', '{"tensor": "9999"}'),
    "checkpoint: a tensor of another kind": state_with(r'\{"tensor": "\d+"\}', '{"tensor": ["0"]}'),
    "checkpoint: a number for a tensor": state_with(r'\{"tensor": "\d+"\}', "7"),
    "checkpoint: an unknown kind": state_with(r'\{"tensor": "\d+"\}', '{"class_path": "os.system"}'),
    "checkpoint: nothing": checkpoint_with(lambda path: (path / "state.json").write_text("{}")),
    "checkpoint: 100,000 brackets": checkpoint_with(lambda path: (path / "state.json").write_text("[" * 100_000)),
    "checkpoint: 900 dictionaries deep": checkpoint_with(
        lambda path: (path / "state.json").write_text('{"list": [' * 400 + "]}" * 400)
    ),
    "checkpoint: a pickle for tensors": checkpoint_with(
        lambda path: (path / "tensors.safetensors").write_bytes(pickle.dumps(Payload(str(path / "canary"))))
    ),
    "checkpoint: a manifest of another kind": lambda run, canary: (
        max((run / "checkpoints").iterdir()) / "manifest.json"
    ).write_text("[1]"),
    "checkpoint: its config is a pickle": lambda run, canary: (run / "config.yaml").write_bytes(
        pickle.dumps(Payload(canary))
    ),
    "checkpoint: its config is Python": lambda run, canary: (run / "config.yaml").write_text(
        f"a: !!python/object/apply:os.system ['touch {canary}']"
    ),
}


def words_of(name: str, run: Path) -> list[str]:
    """What one would type with the run that was sent."""
    if name.startswith("config"):
        return ["train", "--config", str(run / "hostile.yaml")]
    if name.startswith("checkpoint"):
        config = run.parent / "config.yaml"
        return ["train", "--config", str(config), "--output", str(run)]
    picture = next((run.parent / "pictures" / "testA").iterdir())
    return ["translate", str(run), str(picture), "--output", str(run / "out"), "--device=cpu"]


# -- the measuring -----------------------------------------------------------------------------------------------------


def memory() -> float:
    """The most memory this process ever had, in MB; 0 where there is no /proc."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def in_a_child(action: Callable[[], int]) -> tuple[int | None, str, float, float]:
    """(exit code, what it said on stderr, seconds, MB on top) of an action in a process of its own."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as said:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            import resource

            os.close(reader)
            os.dup2(said.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if memory() else 0
            if taken:
                resource.setrlimit(resource.RLIMIT_AS, (taken + MOST_MEMORY, taken + MOST_MEMORY))
            before, start, code = memory(), time.perf_counter(), 1
            try:
                code = action()
            except BaseException as error:
                print(f"{type(error).__name__}: {error}"[:300], file=sys.stderr)
            finally:
                sys.stderr.flush()
                took = [code, time.perf_counter() - start, memory() - before]
                os.write(writer, json.dumps(took).encode())
                os._exit(0)
        os.close(writer)
        end = time.monotonic() + PATIENCE
        while not (done := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < end:
            time.sleep(0.005)
        if not done:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        with os.fdopen(reader, "rb") as pipe_end:
            took = json.loads(pipe_end.read() or f"[null, {PATIENCE}, 0]")
        said.seek(0)
        return took[0], said.read().decode(errors="replace"), took[1], took[2]


def weight(place: Path) -> int:
    """Bytes in a folder, and one for each name."""
    return sum(1 + (path.lstat().st_size if path.is_file() else 0) for path in place.rglob("*"))


def play(place: Path, only: str) -> list[Outcome]:
    """All cases, below an empty folder; `only` picks those whose name contains it."""
    import quagga.pipelines.cyclegan
    import quagga.pipelines.run
    import quagga.pipelines.translate  # noqa: F401  all that is imported now need not be imported in a child
    from quagga.pipelines.cli import command_line, explained

    outcomes = []

    def judged(group: str, name: str, action: Callable[[], int], canary: Path, around: Path | None) -> None:
        before = weight(around) if around else 0
        code, said, seconds, megabytes = in_a_child(action)
        lines = said.strip().splitlines()
        outside = weight(around) - before if around else 0
        last = (lines[-1] if lines else "").replace(f"{place}/", "")
        last = "".join(letter if letter.isprintable() else "?" for letter in last)
        evil = canary.exists() or any(place.rglob("canary")) or any(place.rglob("evil.txt"))
        outcomes.append(Outcome(group, name, code, last[:300], len(lines), seconds, megabytes, outside, evil))
        if not outcomes[-1].held:
            print(f"NOT HELD: {outcomes[-1]}", file=sys.stderr, flush=True)

    (place / "bombs").mkdir()
    for number, (name, act) in enumerate(bombs(place / "bombs")):
        if only in name:
            case = place / "bombs" / f"case{number}"
            (case / "in").mkdir(parents=True)
            judged(
                "bomb", name, lambda act=act, case=case: explained(lambda: (act(case), 0)[1]), case / "canary", place
            )
    shutil.rmtree(place / "bombs")
    run = good_run(place)
    shutil.copy(run / "config.yaml", place / "config.yaml")
    for name, damage in {**MODELS, **CONFIGS, **CHECKPOINTS}.items():
        if only in name:
            sent = place / "sent"
            shutil.copytree(run, sent, symlinks=True)
            damage(sent, str(place / "canary"))
            words = words_of(name, sent)
            group = "checkpoint" if name in CHECKPOINTS else "model"
            judged(group, name, lambda words=words: command_line(words), place / "canary", None)
            shutil.rmtree(sent)
    return outcomes


def outcomes(only: str = "") -> list[Outcome]:
    """Plays the cases in a fresh interpreter, from which the children are forked."""
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
        words = [sys.executable, str(Path(__file__).absolute()), "--play", place, "--only", only]
        ran = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT, check=True)
    return [Outcome(**fields) for fields in json.loads(ran.stdout.splitlines()[-1])]


def suite() -> tuple[str, str]:
    """Runs the fast tests, which the guard of tests/conftest.py keeps from the network: (their result, look-ups)."""
    words = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-n", "2"]
    ran = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    found = re.search(r"(\d+) look-ups", ran.stdout)
    lines = ran.stdout.strip().splitlines()
    return (lines[-1] if lines else "nothing"), (found[1] if found else "unknown")


def report(played: list[Outcome]) -> list[str]:
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    import PIL
    import torch

    lines = [
        f"{os.cpu_count()} cores of an {processor}, no GPU",
        f"Python {platform.python_version()}, torch {torch.__version__}, Pillow {PIL.__version__}",
        "",
    ]
    bad, models, checkpoints = (
        [case for case in played if case.group == group] for group in ("bomb", "model", "checkpoint")
    )
    slowest, largest = (max([getattr(case, what) for case in bad], default=0) for what in ("seconds", "megabytes"))
    outside = sum(case.outside for case in bad)
    lines += [
        f"bombs and hostile archives: {sum(case.held for case in bad)} of {len(bad)} refused in one line,"
        f" the slowest in {slowest:.2f} s (promised: below {SECONDS:g} s), the largest with {largest:.0f} MB"
        f" (promised: below {MEGABYTES:g} MB), {outside} bytes left (promised: 0)",
        f"hostile models and configs: {sum(case.held for case in models)} of {len(models)} refused in one"
        f" line, {sum(case.payload for case in models)} payloads run (promised: 0),"
        f" the slowest in {max([case.seconds for case in models], default=0):.2f} s,"
        f" the largest with {max([case.megabytes for case in models], default=0):.0f} MB",
        f"hostile checkpoints: {sum(case.held for case in checkpoints)} of {len(checkpoints)} refused in one line,"
        f" {sum(case.payload for case in checkpoints)} payloads run (promised: 0)",
        "",
        f"{'seconds':>7}{'MB':>6}{'left':>6}  case: answer",
    ]
    for case in played:
        mark = "" if case.held else "NOT HELD: "
        said = case.said.removeprefix("quagga: error: ")
        lines.append(f"{case.seconds:>7.2f}{case.megabytes:>6.0f}{case.outside:>6}  {mark}{case.name}: {said[:120]}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a text file for the figures")
    parser.add_argument("--suite", action="store_true", help="also run the fast tests and count their look-ups")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.play:
        print(json.dumps([asdict(case) for case in play(chosen.play, chosen.only)]))
        return
    lines = report(outcomes(chosen.only))
    if chosen.suite:
        result, look_ups = suite()
        lines += ["", f"the suite with the network blocked: {result}; {look_ups} look-ups (promised: 0)"]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)


if __name__ == "__main__":
    main()
