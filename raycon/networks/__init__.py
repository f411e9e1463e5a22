"""The catalogue of networks beside the encoder: one line each."""

from __future__ import annotations

from raycon.networks.auxiliary import Auxiliary
from raycon.networks.bias_capture import BiasCapture
from raycon.networks.bias_model import BiasModel
from raycon.networks.class_complement import ClassComplement
from raycon.networks.class_frequencies import ClassFrequencies
from raycon.networks.class_weights import ClassWeights
from raycon.networks.classifier import Classifier
from raycon.networks.cosine_classifier import CosineClassifier
from raycon.networks.decoder import Decoder
from raycon.networks.group_weights import GroupWeights
from raycon.networks.image_prototypes import ImagePrototypes
from raycon.networks.lff import LearningFromFailure
from raycon.networks.momentum import Momentum
from raycon.networks.predictor import Predictor
from raycon.networks.prototype_classifier import PrototypeClassifier
from raycon.networks.prototypes import Prototypes
from raycon.networks.queue import Queue
from raycon.networks.siamese_metric import SiameseMetric
from raycon.networks.support_queue import SupportQueue
from raycon.networks.translator import Translator
from raycon.networks.twin import Twin, TwinHead

NETWORKS: dict[str, type[Auxiliary]] = {
    "classifier": Classifier,  # linear, on embeddings
    "bias_model": BiasModel,  # the auxiliary model of SelecMix, Hwang et al. 2022
    "bias_capture": BiasCapture,  # sees patches alone, for the bias scores of Barbano et al. 2023
    "lff": LearningFromFailure,  # Learning from Failure, Nam et al. 2020
    "decoder": Decoder,  # the autoencoder of Perfectly Balanced, Chen et al. 2022
    "momentum": Momentum,  # a moving average of the network, He et al. 2020 (MoCo)
    "queue": Queue,  # earlier momentum features, He et al. 2020 (MoCo)
    "predictor": Predictor,  # an MLP on features, Grill et al. 2020 (BYOL)
    "support_queue": SupportQueue,  # nearest neighbours among earlier features, Dwibedi et al. 2021 (NNCLR)
    "image_prototypes": ImagePrototypes,  # Siamese prototypical, Mo et al., arXiv 2208.08819
    "prototype_classifier": PrototypeClassifier,  # the same
    "siamese_metric": SiameseMetric,  # the same
    "twin": Twin,  # the two-backbone form of Perfectly Balanced, Chen et al. 2022
    "twin_head": TwinHead,  # its projection head
    "cosine_classifier": CosineClassifier,  # cosines with the rows of class_weights, Zhu et al. 2022
    "class_weights": ClassWeights,  # those rows
    "class_frequencies": ClassFrequencies,  # shares of the labels among the training images
    "prototypes": Prototypes,  # a learned unit row a class
    "class_complement": ClassComplement,  # prototypes from class_weights, Zhu et al. 2022, arXiv 2207.09052
    "translator": Translator,  # our definition for CDvG, Jung et al. 2023, arXiv 2112.01021
    "group_weights": GroupWeights,  # Group-DRO, Sagawa et al. 2020, arXiv 1911.08731
}
