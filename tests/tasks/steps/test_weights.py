import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from orchestrator.step import Step
from tasks.steps import weights
from tasks.steps.weights import Settings

NOBODY = "0" * 64


@pytest.fixture(scope="module")
def state():
    """The tensors of torchvision's ResNet-18 with 1000 classes, all made up."""
    with torch.device("meta"):
        from torchvision.models import resnet18

        shapes = {name: value.shape for name, value in resnet18().state_dict().items()}
    draws = np.random.default_rng(0)
    return {
        name: torch.from_numpy(draws.random(shape, np.float32)) if shape else torch.tensor(7)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def files(state, tmp_path_factory):
    """The same tensors in a file of each kind."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(state, folder / "model.safetensors")
    torch.save(state, folder / "model.pth")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def take(tmp_path):
    """A function that takes in a file and returns the step's folder."""

    def taken(source, network="resnet18"):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        weights.run(Settings.open(source, network), out=out)
        return out

    return taken


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth", "old.pt"])
def test_the_tensors_of_a_file_come_out_as_they_were(files, take, state, name):
    out = take(files[name])
    settings = Settings.open(files[name], "resnet18")
    assert sorted(path.name for path in out.iterdir()) == ["model.safetensors", "weights.json"]
    found = load_file(out / "model.safetensors")
    expected = {name: value for name, value in state.items() if value.shape}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    record = json.loads((out / "weights.json").read_text())
    assert record["network"] == "resnet18"
    assert record["sha256"] == settings.sha256
    assert record["parameters"] == 11_689_512 + 9_600  # torchvision's number, and its statistics
    size = (out / "model.safetensors").stat().st_size
    assert size == pytest.approx(settings.expected_bytes, rel=0.01)


def test_the_content_is_what_it_is_and_the_path_is_not(files, tmp_path):
    moved = tmp_path / "elsewhere.safetensors"
    moved.symlink_to(files["model.safetensors"])
    steps = [Step(Settings.open(path, "resnet18")) for path in (files["model.safetensors"], moved)]
    assert steps[0].settings.source != steps[1].settings.source
    assert steps[0].digest == steps[1].digest
    other = replace(steps[0].settings, sha256=NOBODY)
    assert Step(other).digest != steps[0].digest
    assert Step(replace(other, network="resnet50")).digest != Step(other).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.bias": None}, r"0 missing, 0 unknown, 1 of another shape or type \(as 'fc.bias'\)"),
        ({"x" * 99: torch.ones(1)}, r"1 unknown \(as 'x{60}'\)"),
        ({"fc.bias": torch.ones(10)}, "1 of another"),
        ({"fc.bias": torch.ones(1000, dtype=torch.int64)}, "1 of another"),
        ({"fc.bias": torch.full((1000,), torch.nan)}, "NaN .* in 'fc.bias'"),
    ],
    ids=["no tensor", "foreign", "shape", "type", "nan"],
)
def test_other_tensors_are_refused_in_one_line(state, change, said):
    with pytest.raises(ValueError, match=said) as refused:
        weights.checked(state | change, "resnet18", "other.pth")
    assert "\n" not in str(refused.value)


class Bomb:
    """What runs a program when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("went-off",)


PICKLED = pickle.dumps({"fc.bias": Bomb()}, protocol=2)


def written(content):
    return lambda path: path.write_bytes(content)


def saved(path):
    torch.save({"fc.bias": Bomb()}, path)


def large(path):
    path.touch()
    os.truncate(path, weights.MOST_BYTES + 1)


@pytest.mark.parametrize(
    ("make", "name", "said"),
    [
        (written(PICKLED), "a.safetensors", "cannot be read as one"),
        (written(PICKLED), "a.pth", "cannot be read as one"),
        (saved, "a.pth", "cannot be read as one"),
        (written((2**62).to_bytes(8, "little") + b"{}"), "a.safetensors", "cannot be read as one"),
        (written(b""), "a.safetensors", "cannot be read as one"),
        (lambda path: path.symlink_to("/dev/zero"), "a.pth", "not a regular file"),
        (os.mkfifo, "a.pth", "not a regular file"),
        (large, "a.pth", r"at most 1,073,741,824 bytes, got 1,073,741,825"),
        (lambda path: torch.save({"a": torch.ones(1)}, path), "a.pth", "102 missing .*, 1 unknown"),
        (lambda path: torch.save([1], path), "a.pth", "names and tensors .* got a list"),
        (lambda path: torch.save({1: 1}, path), "a.pth", "names and tensors .* got a dict"),
        (lambda _: None, "a.pth", "No such file"),
        (lambda path: path.touch(), "a.onnx", "a .safetensors, .pth, .pt file or owner/name"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, monkeypatch, take, make, name, said):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    with pytest.raises(ValueError, match=said) as refused:
        take(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "went-off").exists()


def test_an_archive_that_unpacks_to_more_is_refused(tmp_path, monkeypatch, take):
    monkeypatch.setattr(weights, "MOST_BYTES", 10**6)
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6 + 1))
    with pytest.raises(ValueError, match="at most 1,000,000 bytes, got 1,000,001"):
        take(tmp_path / "bomb.pth")


def test_a_file_that_changes_after_it_was_planned_is_not_taken(state, tmp_path):
    path, out = tmp_path / "model.safetensors", tmp_path / "out"
    out.mkdir()
    save_file(state, path)
    settings = Settings.open(path, "resnet18")
    save_file(state | {"fc.bias": torch.zeros(1000)}, path)
    with pytest.raises(ValueError, match="has changed since"):
        weights.run(settings, out=out)
    assert not list(out.iterdir())


class TestTheHub:
    @pytest.fixture(autouse=True)
    def cache(self, tmp_path, monkeypatch):
        """The hub's cache, empty, and no network."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        return tmp_path / "hub"

    def test_what_is_in_its_cache_is_taken(self, cache, files, take):
        folder = cache / "models--somebody--resnet18.tv"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("1" * 40)
        snapshot = folder / "snapshots" / ("1" * 40)
        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").symlink_to(files["model.safetensors"])
        settings = Settings.open("somebody/resnet18.tv", "resnet18")
        assert settings == replace(
            Settings.open(files["model.safetensors"], "resnet18"), source="somebody/resnet18.tv"
        )
        assert (take("somebody/resnet18.tv") / "weights.json").exists()

    def test_what_is_not_is_said_in_one_line(self):
        with pytest.raises(ValueError, match=r"cannot download model\.safetensors of") as refused:
            Settings.open("somebody/resnet18.tv", "resnet18")
        assert "\n" not in str(refused.value)


def test_densenet_s_names_of_old_are_understood():
    from models.networks import imagenet_tensors

    wanted = imagenet_tensors("densenet121")
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): torch.zeros(shape)
        for name, shape in wanted.items()
    }
    assert old.keys() != wanted.keys()
    assert list(weights.checked(old, "densenet121", "")) == list(wanted)
