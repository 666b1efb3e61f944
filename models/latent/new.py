"""The parts of a new, small pipeline, which opens as Stable Diffusion does."""

import json
from collections.abc import Iterable
from typing import Final

from diffusers import DDIMScheduler, UNet2DConditionModel
from tokenizers import Tokenizer, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

START: Final = "<|startoftext|>"
END: Final = "<|endoftext|>"
"""CLIP's marks of a text's start and end; it is padded with the latter."""
_WORD_END: Final = "</w>"


def make_tokenizer(captions: Iterable[str], *, size: int, max_length: int) -> CLIPTokenizer:
    """CLIP's byte-pair encoding, learned from captions; the same from the same ones.

    Pairs are merged, the most frequent first, until every word is one token or there are ``size``
    tokens.  A letter that no caption has becomes END.

    Args:
        captions: Texts.
        size: Of the vocabulary, at most; the last two are START and END.
        max_length: Of a text in tokens, with those two; the text encoder's positions.

    Raises:
        ValueError: If there are no words, or ``size`` does not even hold their letters.
    """
    backend = CLIPTokenizer().backend_tokenizer
    texts = sorted(backend.normalizer.normalize_str(caption) for caption in captions)
    words = {word for text in texts for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)}
    letters = {letter for word in words for letter in (*word[:-1], word[-1] + _WORD_END)}
    if not words or size < len(letters) + 2:
        raise ValueError(
            f"expected captions with words and a vocabulary of at least {len(letters) + 2} tokens, "
            f"as many as their letters need, got {len(words)} words and a size of {size}"
        )
    # The trainer numbers letters, and so decides ties, in an order that differs from process to
    # process, but for what it takes for special tokens.
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        min_frequency=1,
        special_tokens=sorted(letters),
        end_of_word_suffix=_WORD_END,
        show_progress=False,
    )
    rules = Tokenizer.from_str(backend.to_str())
    rules.train_from_iterator(texts, trainer)
    learned = json.loads(rules.to_str())["model"]
    vocabulary = learned["vocab"]
    vocabulary |= {START: len(vocabulary), END: len(vocabulary) + 1}
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)


def new_text_encoder(
    tokenizer: CLIPTokenizer, *, width: int, layers: int, heads: int, inner_width: int
) -> CLIPTextModel:
    """A freshly initialized text encoder for a tokenizer's tokens and length.

    Args:
        tokenizer: As ``make_tokenizer`` makes it.
        width: Of the hidden states, which the U-Net is told; divisible by ``heads``.
        layers: Of the transformer.
        heads: Of the attention.
        inner_width: Of the feed-forward layers; 4 times ``width`` in CLIP.
    """
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=tokenizer.model_max_length,
            hidden_size=width,
            projection_dim=width,
            intermediate_size=inner_width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def new_unet(
    *,
    latent_size: int,
    latent_channels: int,
    text_width: int,
    block_channels: tuple[int, ...],
    attention_levels: tuple[int, ...],
    layers_per_block: int,
    heads: int,
    groups: int,
    linear_projection: bool = False,
) -> UNet2DConditionModel:
    """A freshly initialized U-Net that is told a text, with one level per ``block_channels``.

    Args:
        latent_size: Side of the latents; divisible by 2 ** (levels - 1).
        latent_channels: Of the latents.
        text_width: Of the text encoder's hidden states.
        block_channels: Width of each level, each divisible by ``groups`` and ``heads``.
        attention_levels: Levels with self- and cross-attention; the middle always has it.
        layers_per_block: Residual blocks a level on the way down; one more on the way up.
        heads: Of the attention.
        groups: Of the group normalization.
        linear_projection: As version 2 of Stable Diffusion has it, around the attention.
    """
    attends = [level in attention_levels for level in range(len(block_channels))]
    down = tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attends)
    up = tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends))
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        cross_attention_dim=text_width,
        block_out_channels=block_channels,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=layers_per_block,
        attention_head_dim=heads,  # diffusers' name for the number of heads in this class
        norm_num_groups=groups,
        use_linear_projection=linear_projection,
    )


def new_scheduler(*, prediction_type: str = "epsilon") -> DDIMScheduler:
    """The noising process of Stable Diffusion; a name of ``folder.PREDICTIONS`` is learned."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction_type,
    )
