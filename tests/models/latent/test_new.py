import json

import pytest
import torch
from diffusers import StableDiffusionPipeline

from models.latent import autoencoder, new, pipeline
from models.latent.folder import check
from models.latent.text_to_image import JointNetwork, noise_loss
from models.randomness import torch_seeded
from tests import tiny_pipeline
from tests.tiny_pipeline import CAPTIONS, LENGTH


def tokenizer(captions=CAPTIONS, size=80):
    return new.make_tokenizer(captions, size=size, max_length=LENGTH)


def parameters(network):
    return sum(tensor.numel() for tensor in network.parameters())


def test_every_word_of_the_captions_is_a_token_between_start_and_end():
    made = tokenizer()
    for caption in CAPTIONS:
        words = [f"{word}</w>" for word in caption.lower().split()]
        ids = made(caption).input_ids
        assert made.convert_ids_to_tokens(ids) == [new.START, *words, new.END]
    assert len(made) <= 80
    size = len(made)
    assert (made.bos_token_id, made.eos_token_id, made.pad_token_id) == (
        size - 2,
        size - 1,
        size - 1,
    )
    assert made.model_max_length == LENGTH
    ids = pipeline.token_ids(made, ["A photo of a SIX ", "six " * 50, ""])
    assert ids.shape == (3, LENGTH)
    assert ids[0, 6:].unique().tolist() == [size - 1]
    assert ids[1, [0, -1]].tolist() == [size - 2, size - 1]
    assert ids[2].tolist() == [size - 2] + [size - 1] * (LENGTH - 1)
    assert made.decode(ids[0], skip_special_tokens=True) == "a photo of a six"


def test_a_small_vocabulary_cuts_words_and_a_smaller_one_is_refused():
    made = tokenizer(size=40)
    assert len(made) == 40
    text = "a photo of a seven"
    assert made.decode(made(text).input_ids, skip_special_tokens=True) == text
    for captions, size in ((CAPTIONS, 20), (["", " "], 80)):
        with pytest.raises(ValueError, match="expected captions with words and a vocabulary"):
            tokenizer(captions, size)


def test_the_end_is_never_token_2():
    """Which transformers takes for a sign of a mistake in old settings."""
    assert tokenizer(["a"], size=10).eos_token_id == 3
    encoder = new.new_text_encoder(tokenizer(), width=8, layers=1, heads=2, inner_width=16)
    assert encoder.config.eos_token_id == len(tokenizer()) - 1


def test_equal_captions_give_an_equal_tokenizer():
    """The library's trainer alone gives another one each time, in one process or in several."""
    made = {tokenizer(reversed(CAPTIONS)).backend_tokenizer.to_str() for _ in range(8)}
    assert made == {tokenizer().backend_tokenizer.to_str()}


def test_diffusers_own_pipeline_opens_what_was_saved(either):
    pipe = StableDiffusionPipeline.from_pretrained(either)
    assert pipe.safety_checker is None
    assert pipe.feature_extractor is None
    assert not pipe.config.requires_safety_checker
    pipe.set_progress_bar_config(disable=True)
    [image] = pipe("a photo of a two", num_inference_steps=2).images
    assert image.size == (16, 16)
    own = pipeline.open_parts(either, torch.device("cpu"))
    for part in ("unet", "vae", "text_encoder"):
        expected = getattr(own, part).state_dict()
        found = getattr(pipe, part).state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_what_was_saved_and_opened_is_saved_alike(either, tmp_path):
    pipeline.save(tmp_path, pipeline.open_parts(either, torch.device("cpu")))
    for file in sorted(either.rglob("*.*")):
        again = tmp_path / file.relative_to(either)
        if file.suffix == ".json" and file.name != "vocab.json":
            own, found = (json.loads(path.read_text()) for path in (file, again))
            free = {"_name_or_path", "dtype", "name_or_path", "is_local", "local_files_only"}
            assert {k: v for k, v in found.items() if k not in free} == {
                k: v for k, v in own.items() if k not in free
            }
        else:
            assert again.read_bytes() == file.read_bytes()
    assert check(tmp_path) == check(either)


def test_the_files_of_older_tokenizers_are_there_too(written):
    (written / "tokenizer" / "tokenizer.json").unlink()
    opened = pipeline.open_part(written, "tokenizer", torch.device("cpu"))
    texts = [*CAPTIONS, "", "never seen: 42"]
    assert torch.equal(pipeline.token_ids(opened, texts), pipeline.token_ids(tokenizer(), texts))


def test_the_stand_in_has_the_sizes_that_were_computed_by_formula():
    """0.17 million, 22 thousand and 0.79 million parameters, for 16-pixel images."""
    vae = autoencoder.new_autoencoder(
        image_size=16,
        channels=3,
        block_channels=(16, 32),
        layers_per_block=1,
        latent_channels=4,
        groups=8,
    )
    made = tokenizer(size=120)
    text = new.new_text_encoder(made, width=32, layers=2, heads=4, inner_width=64)
    unet = new.new_unet(
        latent_size=8,
        latent_channels=4,
        text_width=32,
        block_channels=(32, 64),
        attention_levels=(0,),
        layers_per_block=1,
        heads=4,
        groups=8,
    )
    assert 0.165e6 < parameters(vae) < 0.175e6
    assert 0.785e6 < parameters(unet) < 0.795e6
    # Two layers: attention 4 (32 x 32 + 32), feed-forward, two norms; then the tables and a norm.
    layer = 4 * (32 * 32 + 32) + 2 * 32 * 64 + 64 + 32 + 4 * 32
    assert parameters(text) == 2 * layer + (len(made) + 16) * 32 + 64


def test_the_autoencoder_s_loss_is_squared_error_and_divergence():
    vae = tiny_pipeline.parts().vae
    images, noise = torch.rand(2, 3, 16, 16) * 2 - 1, torch.randn(2, 4, 8, 8)
    with torch.no_grad():
        posterior = vae.encode(images).latent_dist
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        found = autoencoder.reconstruction_loss(
            autoencoder.Reconstruction(vae), images=images, noise=noise, kl_weight=0.25
        )
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(posterior.mean, posterior.std), torch.distributions.Normal(0, 1)
    )
    squared = torch.nn.functional.mse_loss(decoded, images)
    wanted = squared + 0.25 * expected.sum() / (2 * 3 * 16 * 16)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)


def test_an_autoencoder_learns_and_is_scaled_to_unit_variance():
    with torch_seeded(0, "test"):
        vae = tiny_pipeline.parts().vae.train()
        squares = torch.rand(8, 3, 2, 2) * 2 - 1
        images = squares.repeat_interleave(8, 2).repeat_interleave(8, 3)
        network = autoencoder.Reconstruction(vae)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
        losses = []
        for _ in range(100):
            noise = torch.randn(8, 4, 8, 8)
            loss = autoencoder.reconstruction_loss(
                network, images=images, noise=noise, kl_weight=1e-6
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.3 * images.var()  # the error of one color for all
        with torch.no_grad():
            kept, noise = autoencoder.moments(vae, images), torch.randn(8, 4, 8, 8)
            factor = autoencoder.scaling_factor_of(autoencoder.latent(kept, noise, 1.0))
            scaled = autoencoder.latent(kept, noise, factor)
    assert scaled.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_text_encoder_and_unet_learn_together():
    parts = tiny_pipeline.parts()
    ids = pipeline.token_ids(parts.tokenizer, list(CAPTIONS[:2]))
    inputs = {
        "scheduler": pipeline.noising_process(parts.scheduler),
        "x_0": torch.zeros(2, 4, 8, 8),
        "t": torch.tensor([5, 500]),
        "noise": torch.ones(2, 4, 8, 8),
    }
    text = parts.text_encoder(ids).last_hidden_state
    apart = noise_loss(parts.unet, text=text, **inputs)
    joint = JointNetwork(parts.unet, parts.text_encoder)
    together = noise_loss(joint, text=ids, **inputs)
    assert apart.item() == together.item()
    together.backward()
    assert all(tensor.grad is not None for tensor in joint.parameters())
    [seen] = parts.text_encoder.get_input_embeddings().weight.grad.abs().sum(1).nonzero().T
    assert {*seen.tolist()} == {*ids.flatten().tolist()}
