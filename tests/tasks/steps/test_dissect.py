import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.data import datasets
from tasks.steps import dissect
from tasks.steps.dissect import Settings
from tasks.triggers import BadNets1
from tests.tasks.made import write_images

SETTINGS = Settings(trigger=BadNets1())


@pytest.fixture
def generations(digits, tmp_path):
    """Test images in the place of generations: 60 clean ones, then the same 60 stamped."""
    test = datasets.read_split(digits, "test")
    pictures = np.concatenate([test.images[:60], BadNets1().stamp(test.images[:60])])
    write_images(tmp_path / "rows.parquet", pictures, np.tile(test.labels[:60], 2))
    return tmp_path


@pytest.fixture
def inputs(generations, content_judge, trigger_judge, judges):
    return {
        "generations": generations,
        "content_judge": content_judge,
        "trigger_judge": trigger_judge,
        "judges": judges,
    }


def test_real_digits_are_told_apart_and_stamps_are_seen(inputs, finish, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    finish(dissect, Settings(trigger=BadNets1(), batch_size=50), out, **inputs)
    rows = pq.read_table(out / "rows.parquet").to_pydict()
    assert rows["index"] == list(range(120))
    matches = np.array(rows["content"]) == np.array(rows["condition"])
    assert matches[:60].mean() > 0.9
    assert rows["trigger"] == [False] * 60 + [True] * 60
    assert rows["template_match"] == [False] * 60 + [True] * 60
    assert (np.array(rows["trigger_probability"]) > 0.5).tolist() == rows["trigger"]
    assert 0.1 <= min(rows["content_probability"]) <= max(rows["content_probability"]) <= 1


@pytest.mark.parametrize(
    ("content", "trigger", "message"),
    [
        (0.79, 1.0, r"at least 80% accuracy .* got 79\.0%"),
        (1.0, 0.94, r"at least 95% balanced .* got 94\.0%"),
    ],
)
def test_poor_judges_are_refused_before_anything_is_judged(tmp_path, content, trigger, message):
    clean = {"clean": {"accuracy": content}}
    measured = {"content": clean, "trigger": {"balanced_accuracy": trigger}}
    (tmp_path / "judges.json").write_text(json.dumps(measured))
    with pytest.raises(ValueError, match=message):
        dissect.count(SETTINGS, generations=tmp_path, judges=tmp_path)
