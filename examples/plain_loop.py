"""A common PyTorch loop, before it knows of raycon; `own_loop.py` is the same loop after."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn.functional import normalize

from raycon.losses import supcon


def my_loop(learning_rate=1e-2, temperature=0.1, epochs=4, seed=0):
    torch.manual_seed(seed)
    data = load_digits()
    images, classes = torch.tensor(data.images, dtype=torch.float32) / 16, torch.tensor(data.target)
    labels = (classes >= 5).long()
    body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
    head = nn.Linear(32, 16)
    optimiser = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=learning_rate)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(1000).split(100):
            views = torch.stack([images[rows] + 0.1 * torch.randn_like(images[rows]) for _ in range(2)], dim=1)
            features = normalize(head(body(views.flatten(0, 1))), dim=1).view(len(rows), 2, -1)
            loss = supcon(features, labels[rows], temperature=temperature)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            seen, unseen = body(images[:1000]), body(images[1000:])
        probe = LogisticRegression(max_iter=1000).fit(seen, classes[:1000])
        print(epoch, loss.item(), probe.score(unseen, classes[1000:]))


if __name__ == "__main__":
    my_loop()
