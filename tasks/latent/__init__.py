"""Steps of text-to-image models: pipelines, moments and fine-tuning."""
