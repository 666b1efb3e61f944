"""Write orchestrator/graph/operations.json: what a forward pass of each scale's networks takes."""

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.graph import operations
from orchestrator.studies.scales import SCALES, NewPipeline


def networks() -> Iterator[Any]:
    """Settings of every training of every scale."""
    for scale in SCALES:
        for name in ("diffusion", "edm", "content_judge", "trigger_judge", "classifier"):
            if name != "diffusion" or scale.text is None:
                yield getattr(scale, name)
        if scale.text and isinstance(base := scale.text.base, NewPipeline):
            yield from (base.autoencoder, base.networks)


def counts() -> dict[str, int]:
    """Operations of each network, by what they depend on."""
    return {operations.described(settings): operations.count(settings) for settings in networks()}


if __name__ == "__main__":
    operations.SHIPPED.write_text(json.dumps(counts(), indent=1) + "\n")
