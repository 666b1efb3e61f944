"""Somebody's Stable Diffusion folder as a step: looked at, copied, and refused where it changed."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from models.latent.folder import check
from models.latent.pipeline import open_parts
from orchestrator.cli.parsing import request
from tasks.latent import pipeline
from tests import tiny_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pipelines") / "small"
    made.mkdir()
    tiny_pipeline.write(made)
    return made


def test_a_folder_is_copied_without_anything_that_could_run_code(folder, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(folder, source)
    (source / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    (source / "safety_checker").mkdir()
    (source / "safety_checker" / "model.safetensors").write_bytes(b"")
    settings = pipeline.Settings.open(source)
    assert settings.version == pipeline.Settings.open(folder).version  # none of these counts
    pipeline.run(settings, out=out)
    assert not [file for file in out.rglob("*") if file.suffix in (".bin", ".py")]
    assert not (out / "safety_checker").exists()
    assert check(out) == check(folder)
    one, other = (open_parts(place, torch.device("cpu")).unet for place in (out, folder))
    assert one.state_dict().keys() == other.state_dict().keys()


def test_its_sizes_are_those_of_its_u_net(folder):
    settings, unet = pipeline.Settings.open(folder), open_parts(folder, torch.device("cpu")).unet
    assert settings.block_channels == tuple(unet.config.block_out_channels)
    assert settings.latent_size == unet.config.sample_size
    assert settings.text_width == unet.config.cross_attention_dim
    assert len(settings.attention_levels) == len(
        [block for block in unet.down_blocks if getattr(block, "has_cross_attention", False)]
    )


def test_another_weight_is_another_version_and_a_changed_folder_is_refused(folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(folder, source)
    settings = pipeline.Settings.open(source)
    tiny_pipeline.write(source, seed=1)
    assert pipeline.Settings.open(source).version != settings.version
    with pytest.raises(ValueError, match="has changed since; run the same command again"):
        pipeline.run(settings, out=tmp_path / "out")


def test_a_pipeline_is_fine_tuned_in_place_of_the_scale_s(folder, tmp_path):
    words = {"scale": "tiny-text", "store": tmp_path, "model": str(folder)}
    asked = request("amplification", say=lambda _: None, **words)
    steps = {step.task for point in asked.points() for step in point.measure.sources}
    assert asked.scale.text.base.source == str(folder)
    assert "generations" not in steps
    with pytest.raises(ValueError, match="--model needs a scale of text-to-image models"):
        request("amplification", say=lambda _: None, **words | {"scale": "tiny"})
    with pytest.raises(ValueError, match="color images of 16 pixels"):
        request("amplification", say=lambda _: None, **words, dataset="digits")


def planned(cache, tmp_path):
    """A plan with a pipeline of the hub, which nobody answers for."""
    words = ["plan", "amplification", "--scale", "tiny-text", "--store", str(tmp_path / "store")]
    hub = {"HF_HUB_CACHE": str(cache), "HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, "--model", "somebody/small"],
        capture_output=True,
        text=True,
        env={**os.environ, **hub},
    )


def test_a_pipeline_in_the_hub_s_cache_needs_no_network(folder, tmp_path):
    kept = tmp_path / "cache" / "models--somebody--small"
    shutil.copytree(folder, kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0" * 40)
    done = planned(tmp_path / "cache", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pipeline/small-" in done.stdout


def test_a_hub_that_does_not_answer_is_told_in_a_line(tmp_path):
    done = planned(tmp_path / "cache", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("castlewalls: cannot fetch 'somebody/small' from the hub")
    assert done.stderr.count("\n") == 1
