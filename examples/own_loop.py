"""The loop of `plain_loop.py`, searched by raycon: `python examples/own_loop.py`, or from the command line

    raycon sweep examples/own_loop.yaml --code examples/own_loop.py

New or changed are 13 lines: 9 of the loop, 3 imports and `TRAIN` (a test compares the two files and counts them). For
that the loop gets seeds, resumption at every epoch, splits that no test image enters, raycon's scores, and the verdict
of `raycon repeat`. Data and scores of its own would do as well: see `raycon.own_loop`.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import normalize

from raycon.datasets import load_tables
from raycon.losses import supcon
from raycon.own_loop import score
from raycon.runs import Scored


def my_loop(trial, checkpoint):
    training, temperature = trial.training, trial.objective["supcon"]["temperature"]
    table = load_tables(trial.data, split_seed=trial.seeds.split)["train"]
    images, labels = table.images[:, 0].float() / 255, table.attributes["coarse"]
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
    head = nn.Linear(32, 16)
    optimiser = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=training.learning_rate)
    checkpoint.keep(body=body, head=head, optimiser=optimiser)
    for epoch in checkpoint.epochs():
        for rows in torch.randperm(len(images)).split(100):
            views = torch.stack([images[rows] + 0.1 * torch.randn_like(images[rows]) for _ in range(2)], dim=1)
            features = normalize(head(body(views.flatten(0, 1))), dim=1).view(len(rows), 2, -1)
            loss = supcon(features, labels[rows], temperature=temperature)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield Scored(epoch, {"train/objective/total": loss.item()} | score(trial, body))


TRAIN = [my_loop]

if __name__ == "__main__":
    from pathlib import Path

    import raycon

    result = raycon.sweep(Path(__file__).with_suffix(".yaml"), train=my_loop)
    for difference in raycon.repeat(result.best()).differences():
        print(difference.line)
