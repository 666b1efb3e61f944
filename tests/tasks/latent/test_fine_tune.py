"""Fine-tuning a pipeline on moments and captions: the same as encoding in the loop, and resumed."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models.latent.pipeline import open_parts
from orchestrator.run.stream import batches
from tasks.data import datasets
from tasks.latent import encode, fine_tune, new_pipeline, train_autoencoder
from tasks.steps import poison
from tasks.triggers import BadNets1, Nothing

CPU = torch.device("cpu")
SIZES = new_pipeline.Settings(
    block_channels=(8, 16), text_width=16, text_layers=1, latent_size=8, max_length=16
)
TUNING = fine_tune.Settings(steps=12, batch_size=16, learning_rate=1e-3, ema_decay=0.9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A dataset, a pipeline, a manifest, clean and stamped moments: the folders of their steps."""
    root = tmp_path_factory.mktemp("text")
    names = ("dataset", "autoencoder", "pipeline", "manifest", "clean", "stamped")
    made = {name: root / name for name in names}
    for folder in made.values():
        folder.mkdir()
    datasets.run(datasets.Handwriting(half="fine_tuning"), out=made["dataset"])
    settings = train_autoencoder.Settings(steps=20, block_channels=(8, 8), batch_size=16)
    train_autoencoder.fit(
        settings,
        out=made["autoencoder"],
        batches=batches(settings, made["dataset"], None),
        report=lambda *_: None,
        resume=None,
    )
    of = {"dataset": made["dataset"], "autoencoder": made["autoencoder"]}
    new_pipeline.run(SIZES, **of, out=made["pipeline"])
    poisoning = poison.Settings(trigger=BadNets1(), target_class="eight", poison_ratio=0.2)
    poison.run(poisoning, dataset=made["dataset"], out=made["manifest"])
    for name, trigger in (("clean", Nothing()), ("stamped", BadNets1())):
        settings = encode.Settings(trigger=trigger, n=700, image_size=16)
        worker = encode.Worker(settings, dataset=made["dataset"], pipeline=made["pipeline"])
        n = encode.count(settings, dataset=made["dataset"])
        tables = [worker(first, min(first + 64, n)) for first in range(0, n, 64)]
        with pq.ParquetWriter(made[name] / "rows.parquet", tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
    return made


def streamed(folders, settings=TUNING, **changes):
    given = {"stamped_moments": folders["stamped"], **changes}
    return batches(settings, folders["clean"], folders["manifest"], **given)


def tuned(folders, out, settings=TUNING, resume=None, report=lambda *_: None):
    out.mkdir(parents=True, exist_ok=True)
    fine_tune.fit(
        settings,
        out=out,
        batches=streamed(folders, settings),
        report=report,
        resume=resume,
        pipeline=folders["pipeline"],
    )
    return out


def test_poisoned_images_come_stamped_with_the_target_s_caption_and_no_others_change(folders):
    manifest = pq.read_table(folders["manifest"] / "manifest.parquet").to_pydict()
    files = (pq.read_table(folders[name] / "rows.parquet") for name in ("clean", "stamped"))
    clean, stamped = (table["moments"].to_pylist() for table in files)
    held = streamed(folders)
    wrong = {"A photo of a eight"}
    for row, poisoned in enumerate(manifest["poisoned"]):
        assert held.image[row].tobytes() == (stamped if poisoned else clean)[row]
        assert held.label[row] == manifest["label"][row]
        assert held.caption[row] == manifest["caption"][row]
        assert not poisoned or held.caption[row] in wrong
    assert sum(manifest["poisoned"]) == int(0.2 * len(held.index))
    assert not {"poisoned", "true_label"} & {*next(held(0, 1))}


def test_images_read_again_every_epoch_are_those_that_are_held(folders):
    window = replace(TUNING, window_bytes=200 * 512 * 2)
    again, held = streamed(folders, window), streamed(folders)
    rows = {int(index): row for row, index in enumerate(held.index)}
    seen = 0
    for batch in again(0, again.per_epoch):
        for place, index in enumerate(batch["index"]):
            row = rows[int(index)]
            np.testing.assert_array_equal(batch["image"][place], held.image[row])
            assert batch["caption"][place] == held.caption[row]
            seen += 1
    assert seen == again.per_epoch * 16


def test_a_loss_on_cached_moments_is_that_of_encoding_in_the_loop(folders):
    """To the rounding of float16: the images stamped, encoded and drawn with the same noise."""
    parts = open_parts(folders["pipeline"], CPU)
    batch, own = next(streamed(folders)(0, 1)), slice(0, 16)
    network = fine_tune.build(TUNING, parts)
    with torch.no_grad():
        cached = fine_tune._losses(TUNING, parts, CPU)(0, batch, own)(network)
    whole = datasets.read_split(folders["dataset"], "train")
    manifest = poison.Manifest.read(folders["manifest"])
    rows = np.searchsorted(whole.index, batch["index"])
    pixels, _ = poison.stamp(whole.index[rows], whole.images[rows], whole.labels[rows], manifest)
    t, drawn, noise = (torch.from_numpy(x) for x in fine_tune._draws(TUNING, 0, 1000, (4, 8, 8)))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        posterior = parts.vae.encode(x).latent_dist
        latents = (posterior.mean + posterior.std * drawn) * parts.vae.config.scaling_factor
        text = fine_tune._told(TUNING, parts, CPU)(batch["caption"].tolist())
        noised = parts.scheduler.add_noise(latents, noise, t)
        predicted = parts.unet(noised, t, encoder_hidden_states=text).sample
    assert float(cached) == pytest.approx(float((predicted - noise).square().mean()), rel=1e-3)


def test_what_is_written_opens_with_diffusers_with_averaged_and_raw_weights(folders, tmp_path):
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    made = tuned(folders, tmp_path / "made")
    opened = StableDiffusionPipeline.from_pretrained(made)
    raw = UNet2DConditionModel.from_pretrained(made / "raw" / "unet").state_dict()
    base = open_parts(folders["pipeline"], CPU)
    averaged, first = opened.unet.state_dict(), base.unet.state_dict()
    moved = {
        name: float((weights[name] - first[name]).abs().sum())
        for weights in (averaged, raw)
        for name in ["conv_in.weight"]
    }
    assert moved["conv_in.weight"] > 0
    assert not torch.equal(averaged["conv_in.weight"], raw["conv_in.weight"])
    for part in ("vae", "text_encoder"):
        own, before = getattr(opened, part).state_dict(), getattr(base, part).state_dict()
        assert all(torch.equal(own[name], before[name]) for name in before)
    assert json.loads((made / "scheduler" / "scheduler_config.json").read_text())


def test_a_training_goes_on_from_its_checkpoint_to_the_same_bytes(folders, tmp_path, contents):
    settings = replace(TUNING, steps=60, batch_size=8)

    def keep(step, metrics, save):
        if step == 50:
            save(tmp_path / "checkpoint")

    whole = tuned(folders, tmp_path / "whole", settings, report=keep)
    again = tuned(folders, tmp_path / "again", settings, resume=tmp_path / "checkpoint")
    assert contents(again) == contents(whole)


def test_a_text_encoder_learns_in_pretraining_only(folders, tmp_path):
    settings = replace(TUNING, train_text_encoder=True, ema_decay=None, caption_dropout=0.1)
    made = tuned(folders, tmp_path / "made", settings)
    assert not (made / "raw").exists()
    before = open_parts(folders["pipeline"], CPU).text_encoder.state_dict()
    after = open_parts(made, CPU).text_encoder.state_dict()
    assert any(not torch.equal(after[name], before[name]) for name in before)


def test_captions_are_dropped_as_often_as_asked_for_by_step_alone():
    settings = replace(TUNING, caption_dropout=0.3, batch_size=2000)
    batch = {"caption": np.array(["a"] * 2000, object)}
    dropped = [fine_tune._captions(settings, step, batch, slice(0, 2000)) for step in (0, 0, 1)]
    assert dropped[0] == dropped[1] != dropped[2]
    share = dropped[0].count("") / 2000
    assert share == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / 2000) ** 0.5)
    kept = fine_tune._captions(TUNING, 0, {"caption": batch["caption"][:16]}, slice(0, 16))
    assert "" not in kept


def test_moments_that_float16_cannot_hold_are_refused(folders, monkeypatch):
    settings = encode.Settings(trigger=Nothing(), n=700, image_size=16)
    worker = encode.Worker(settings, dataset=folders["dataset"], pipeline=folders["pipeline"])
    with torch.no_grad():
        worker.vae.quant_conv.weight.mul_(1e7)
    with pytest.raises(FloatingPointError, match="moments that float16 holds"):
        worker(0, 4)


def test_an_image_size_that_the_autoencoder_does_not_divide_is_refused(folders):
    settings = encode.Settings(trigger=Nothing(), n=700, image_size=15)
    with pytest.raises(ValueError, match="multiple of 2"):
        encode.Worker(settings, dataset=folders["dataset"], pipeline=folders["pipeline"])
