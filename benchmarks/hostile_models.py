"""A good run of which one thing is changed: hostile models, configs and checkpoints. See hostile.py."""

import contextlib
import io
import json
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

Damage = Callable[[Path, str], object]  # changes a run that was sent; a payload is to touch this file


class Payload:
    """Pickled, it touches the canary when it is read."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return os.system, (f"touch {self.canary}",)


def good_run(place: Path) -> Path:
    """A run of 4 images with a checkpoint and a model, beside its pictures."""
    from quagga.cli.main import command_line
    from quagga.data.synthetic import scenes

    pictures = scenes.write(place / "pictures", train=4, test=2, size=16)
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


def argument(**values: Any) -> Damage:
    return card_with(lambda card: card["networks"]["G"]["arguments"].update(values))


def network(name: str, **values: Any) -> Damage:
    return card_with(lambda card: card["networks"].update(G={"class": name, "arguments": values}))


def pipeline(name: str) -> Damage:
    """Names a pipeline that makes the networks."""
    return card_with(lambda card: card.update(pipeline=name, networks=dict.fromkeys(card["networks"])))


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
    for part in ("exports", "networks"):
        card_with(lambda card, part=part: card[part].update({"../outside": card[part].pop("G")}))(run, canary)


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


def scaled(size: int) -> Damage:
    """Says that training scaled pictures to so many pixels."""
    return card_with(lambda card: card["preprocessing"].update(load_size=size, fit="crop"))


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
    "model.json: the pipeline os": pipeline("os"),
    "model.json: the pipeline ../evil": pipeline("../evil"),
    "model.json: the network os.system": network("os.system", command="touch CANARY"),
    "model.json: a network of torch": network("torch.nn.Conv2d", in_channels=3, out_channels=3, kernel_size=1),
    "model.json: a discriminator": network("PatchGAN", in_channels=3),
    "model.json: a network outside the folder": climbing,
    "model.json: a class in an option": option(norm=CLASS),
    "model.json: a class in a list": option(diffaugment=[CLASS]),
    "model.json: a class 600 lists deep": option(diffaugment=json.loads("[" * 600 + json.dumps(CLASS) + "]" * 600)),
    "model.json: a list 900 deep": option(diffaugment=nested(900)),
    "model.json: an argument of 900 lists": argument(width=nested(900)),
    "model.json: width 10**9": argument(width=10**9),
    "model.json: width -1": argument(width=-1),
    "model.json: width 10**30": argument(width=10**30),
    "model.json: blocks 10**9": argument(blocks=10**9),
    "model.json: U-Net of depth 10**9": network("UnetGenerator", in_channels=3, out_channels=3, depth=10**9),
    "model.json: channels 10**9": argument(in_channels=10**9),
    "model.json: an unknown argument": argument(__class__="os"),
    "model.json: pool_size NaN": option(pool_size=float("nan")),
    "model.json: an option of 1,000 numbers": option(diffaugment=[1] * 1000),
    "model.json: a text of 100,000 letters": option(objective="a" * 100_000),
    "model.json: pictures scaled to 10**9 pixels": scaled(10**9),
    "model.json: pictures scaled to 12,000 pixels": scaled(12_000),
    "model.json: noise of 10**12 numbers": card_with(
        lambda card: card["exports"]["G"].update(inputs=[{"kind": "noise", "name": "z", "size": 10**12}])
    ),
    "model.json: no inputs": card_with(lambda card: card["exports"]["G"].update(inputs=[])),
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

        from quagga.training import checkpoint

        path = max((run / "checkpoints").iterdir())
        change(path)
        manifest = json.loads((path / "manifest.json").read_text())
        for name in manifest["sha256"]:
            if (path / name).is_file():
                manifest["sha256"][name] = hashlib.sha256((path / name).read_bytes()).hexdigest()
        del manifest["self"]
        (path / "manifest.json").write_text(json.dumps({**manifest, "self": checkpoint.manifest_digest(manifest)}))

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
    "checkpoint: its options are a list": state_with(r'\["config", \{"dict": ', '["config", {"list": '),
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
