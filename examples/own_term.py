"""A loss of your own, searched beside raycon's: `python examples/own_term.py`, or from the command line

    raycon sweep examples/own_term.yaml --code examples/own_term.py

The function is all there is to write. Its positional parameters are tensors of `raycon.vocabulary`, its keyword-only
ones are knobs, whose types say what a search space may hold. `features` are compared between images, so several workers
hand the term the whole batch; it needs to know nothing of them. Random numbers would come from the parameter `draws`,
[N, 32] uniform ones that are an image's own whichever worker has it; torch.rand gives each worker others, which the
first step of a run refuses.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from raycon.knobs import Fraction, Positive


def centred_alignment(features: Tensor, labels: Tensor, *, margin: Fraction = 0.2, sharpness: Positive = 4.0) -> Tensor:
    """Pulls every image to the mean direction of its label, and pushes the means of different labels apart."""
    rows = features.flatten(0, 1)
    known = labels.repeat_interleave(features.shape[1])
    members = (known[:, None] == known[None, :]).to(rows.dtype)
    centres = members @ rows / members.sum(1, keepdim=True)
    pull = (1 - (rows * centres).sum(1)).mean()
    likeness = centres @ centres.T
    push = ((likeness - margin).clamp(min=0) * sharpness * (1 - members)).mean()
    return pull + push


TERMS = [centred_alignment]

if __name__ == "__main__":
    import raycon

    result = raycon.sweep(Path(__file__).with_suffix(".yaml"), terms=TERMS)
    best = result.best()
    print(best.values, best.metrics["validation/coarse_to_fine/accuracy"])
    for difference in raycon.repeat(best).differences():
        print(difference.line)
