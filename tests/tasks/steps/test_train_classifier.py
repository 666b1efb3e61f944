import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file

from tasks.steps import train_classifier, weights
from tasks.steps.batches import own_rows
from tasks.steps.train_classifier import Settings, augmented

SETTINGS = Settings(name="content", classes=10, erase=True, steps=60, batch_size=32)
FEW = replace(SETTINGS, steps=2, batch_size=4, optimizer="sgd", schedule="cosine")
OF_THE_AUTHORS = {"optimizer": "sgd", "learning_rate": 1e-2, "weight_decay": 5e-4}
OF_THE_AUTHORS |= {"schedule": "cosine", "flip": True, "shift": 2}


@pytest.fixture
def fit(hold, silent, tmp_path_factory):
    """A function that trains on clean images and returns the folder."""

    def run(settings, *, report=silent, resume=None, **inputs):
        out = tmp_path_factory.mktemp("out")
        train_classifier.fit(
            settings, out=out, batches=hold(settings), report=report, resume=resume, **inputs
        )
        return out

    return run


@pytest.mark.parametrize("changes", [{}, OF_THE_AUTHORS], ids=["ours", "the authors'"])
def test_interrupted_equals_uninterrupted(fit, contents, tmp_path, changes):
    settings = replace(SETTINGS, **changes)
    whole = fit(settings, report=lambda step, _, save: step == 50 and save(tmp_path))
    assert contents(fit(settings, resume=tmp_path)) == contents(whole)


@pytest.mark.parametrize(
    "changes", [{"erase": True}, {"erase": False, "flip": True}, {"erase": False, "shift": 2}]
)
def test_the_workers_together_change_what_one_changes(hold, changes):
    settings = replace(SETTINGS, **changes)
    given = next(hold(settings)(0, 1))["image"]
    whole = augmented(given, settings, 3, slice(0, 32))
    parts = [
        augmented(
            next(hold(settings, rank=rank, workers=2)(0, 1))["image"],
            settings,
            3,
            own_rows(32, rank=rank, workers=2),
        )
        for rank in (0, 1)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole != given).any()
    assert (whole != augmented(given, settings, 4, slice(0, 32))).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "vgg"}, "small, resnet18, resnet50, vgg16, densenet121, got 'vgg'"),
        ({"classes": 1}, "classes of at least 2"),
        ({"schedule": "warmup_cosine"}, "schedule of one_cycle, cosine, got 'warmup_cosine'"),
        ({"shift": 8}, r"0\.\.7 pixels, less than a side, got 8"),
        ({"window_bytes": 0}, "window_bytes of at least 1"),
    ],
)
def test_settings_that_cannot_train_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


@pytest.fixture(scope="module")
def published():
    """Torchvision's ResNet-18 with 1000 classes and made-up weights, ready to judge."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_mean, -1, 1)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1)
    return network.eval()


@pytest.fixture(scope="module")
def given(published, tmp_path_factory):
    """The folder of the step that took them in."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(published.state_dict(), folder / "published.safetensors")
    settings = weights.Settings.open(folder / "published.safetensors", "resnet18")
    (folder / "out").mkdir()
    weights.run(settings, out=folder / "out")
    return folder / "out"


class TestGivenWeights:
    def test_a_classifier_begins_as_torchvision_s_network_is(self, published, given):
        from models import classifiers

        shape = classifiers.Shape(
            network="resnet18", classes=1000, image_size=64, channels=1, weights="0" * 12
        )
        begun = classifiers.begun(shape, given / "model.safetensors").eval()
        x = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
        normalized = torchvision.transforms.functional.normalize(
            ((x + 1) / 2).expand(4, 3, 64, 64), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        )
        with torch.inference_mode():
            found, expected = begun(x), published(normalized)
        assert expected.std() > 0.01
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    def test_a_training_moves_the_weights_and_no_statistics(self, fit, given, published):
        from models.classifiers import Classifier

        out = fit(replace(FEW, network="resnet18"), weights=given)
        record = json.loads((given / "weights.json").read_text())
        shape = json.loads((out / "network.json").read_text())
        assert shape["weights"] == record["sha256"][:12]
        trained, before = load_file(out / "model.safetensors"), published.state_dict()
        moved = {
            name.removeprefix("network.")
            for name, value in trained.items()
            if "fc" not in name and not torch.equal(value, before[name.removeprefix("network.")])
        }
        assert moved == {name for name in before if "conv" in name or name.endswith("ple.0.weight")}
        judge = Classifier.load(out, torch.device("cpu"))
        assert judge.shape.weights == record["sha256"][:12]
        assert judge.probabilities(np.zeros((2, 1, 8, 8), dtype=np.float32), 2).shape == (2, 10)
