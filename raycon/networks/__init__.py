"""The catalogue of networks beside the encoder: one line each."""

from __future__ import annotations

from raycon.networks.auxiliary import Auxiliary
from raycon.networks.classifier import Classifier
from raycon.networks.decoder import Decoder

NETWORKS: dict[str, type[Auxiliary]] = {
    "classifier": Classifier,  # linear, on embeddings
    "decoder": Decoder,  # the autoencoder of Perfectly Balanced, Chen et al. 2022
}
