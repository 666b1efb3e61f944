"""Diffusion in the latent space of an autoencoder, told what to draw by a text."""
