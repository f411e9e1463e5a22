"""The methods that raycon ships, said statically: their papers, what they are about, their search spaces and terms.

To add one: an entry below, its search space in search_spaces/, its row in METHODS.md. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raycon.errors import InvalidFile, RayconError, nearest


@dataclass(frozen=True)
class Method:
    """One method.

    paper: authors, venue and arXiv number of what it follows, or 'our own definition'. idea: one sentence. files: its
    search spaces, the one to begin with first. terms: those of the catalogue that make it what it is.
    """

    name: str
    paper: str
    idea: str
    files: tuple[str, ...]
    terms: tuple[str, ...]


_ALL = (
    Method(
        "supcon",
        "Khosla et al., NeurIPS 2020, arXiv 2004.11362; SimCLR: Chen et al., ICML 2020, arXiv 2002.05709",
        "Views of images with the same label (or of the same image) attract each other, all others repel.",
        ("supcon.yaml",),
        ("supcon", "supcon_google", "infonce"),
    ),
    Method(
        "thanos",
        "Perfectly Balanced, Chen et al., ICML 2022, arXiv 2204.07596",
        "A class-conditional term and an autoencoder keep classes spread, so that finer classes can be told apart.",
        ("thanos.yaml", "digits_demo.yaml"),
        ("supcon", "class_conditional_infonce", "spread", "spread_reference", "reconstruction"),
    ),
    Method(
        "thanos_two_backbones",
        "Perfectly Balanced, Chen et al., ICML 2022, arXiv 2204.07596",
        "The spread loss trains one encoder, the autoencoder another; both embeddings together are judged.",
        ("thanos_two_backbones.yaml",),
        ("spread", "reconstruction", "cross_entropy"),
    ),
    Method(
        "constrained_encoder",
        "our own definition, beside Perfectly Balanced (arXiv 2204.07596)",
        "An encoder with bounded layers or few dimensions cannot map each class to one point.",
        ("constrained_encoder.yaml",),
        ("supcon",),
    ),
    Method(
        "epsilon_supinfonce_fairkl",
        "Barbano et al., ICLR 2023, arXiv 2211.05568",
        "A margin between positives and negatives, and a regulariser that matches distances of aligned and conflicting "
        "pairs.",
        ("epsilon_supinfonce_fairkl.yaml", "epsilon_supinfonce_fairkl_pareto.yaml"),
        ("epsilon_supinfonce", "epsilon_supcon", "epsilon_infonce", "fairkl"),
    ),
    Method(
        "fairkl_scores",
        "Barbano et al., ICLR 2023, arXiv 2211.05568",
        "FairKL where no bias is labelled: continuous scores from a network that is drawn to the bias.",
        ("fairkl_scores.yaml",),
        ("epsilon_supinfonce", "fairkl_scores"),
    ),
    Method(
        "debiased",
        "Chuang et al., NeurIPS 2020, arXiv 2007.00224",
        "The denominator is corrected for the negatives that share the anchor's class.",
        ("debiased.yaml",),
        ("debiased", "debiased_supervised"),
    ),
    Method(
        "decoupled",
        "Yeh et al., ECCV 2022, arXiv 2110.06848",
        "InfoNCE without the positive in its denominator, which spares small batches a vanishing gradient.",
        ("decoupled.yaml",),
        ("decoupled", "decoupled_weighted"),
    ),
    Method(
        "number_of_negatives",
        "Awasthi, Dikkala and Kamath, ICML 2022, arXiv 2205.01789",
        "Whether more negatives hurt: a curve over their number in which nothing else changes.",
        ("number_of_negatives.yaml",),
        ("sampled_infonce",),
    ),
    Method(
        "renyi",
        "Lee and Shin, NeurIPS 2022, arXiv 2208.06270",
        "A variational bound of the skew Renyi divergence, with a momentum network, a predictor and local crops.",
        ("renyi.yaml",),
        ("renyi",),
    ),
    Method(
        "sce",
        "Denize et al., WACV 2023, arXiv 2111.14585",
        "A momentum network's similarities to a queue are, mixed with the own key, the target.",
        ("sce.yaml",),
        ("sce",),
    ),
    Method(
        "nnclr",
        "Dwibedi et al., ICCV 2021, arXiv 2104.14548",
        "The positive is the nearest neighbour of the other view among earlier features.",
        ("nnclr.yaml",),
        ("nearest_neighbour_infonce",),
    ),
    Method(
        "unicon",
        "Han, Geng and Chen, IEEE TIP 2023, arXiv 2204.10695",
        "Negatives are universum images, mixtures of two classes that belong to none.",
        ("unicon.yaml",),
        ("unicon", "unicon_append"),
    ),
    Method(
        "balanced_contrastive",
        "Zhu et al., CVPR 2022, arXiv 2207.09052",
        "For long tails: every class counts once in the denominator and has a prototype; logits are compensated.",
        ("balanced_contrastive.yaml",),
        ("balanced_contrastive", "logit_adjusted_cross_entropy"),
    ),
    Method(
        "esupcon",
        "our own definition after Aljundi et al., AAAI 2023, arXiv 2211.03646; tightness: Boudiaf et al. 2020, arXiv "
        "2003.08983",
        "One contrastive objective for encoder and classifier, whose weights are prototypes.",
        ("esupcon.yaml",),
        ("esupcon", "tightness"),
    ),
    Method(
        "siamese_prototypical",
        "Mo, Sun and Li, arXiv 2208.08819",
        "Pairs of images of one cluster attract each other by a learned metric and a classifier of clusters.",
        ("siamese_prototypical.yaml",),
        ("prototype_infonce", "siamese_metric_loss", "prototype_classification"),
    ),
    Method(
        "selecmix",
        "Hwang et al., NeurIPS 2022, arXiv 2211.02291",
        "Images are mixed with partners that contradict what a biased network finds alike.",
        ("selecmix.yaml",),
        ("generalised_supcon", "cross_entropy", "supcon"),
    ),
    Method(
        "cdvg",
        "our own translators after Jung et al., ICML 2023, arXiv 2112.01021",
        "A translator gives images the bias of other labels, and a contrastive term makes the encoder ignore it.",
        ("cdvg.yaml",),
        ("translated_contrast", "cross_entropy"),
    ),
    Method(
        "lff",
        "Nam et al., NeurIPS 2020, arXiv 2007.02561",
        "A second network learns the bias; images on which it fails weigh more.",
        ("lff.yaml",),
        ("weighted_cross_entropy", "generalised_cross_entropy"),
    ),
    Method(
        "group_dro",
        "Sagawa et al., ICLR 2020, arXiv 1911.08731",
        "Groups with large losses get larger weights while training.",
        ("group_dro.yaml",),
        ("group_dro",),
    ),
    Method(
        "mixup",
        "Zhang et al., ICLR 2018, arXiv 1710.09412; CutMix: Yun et al., ICCV 2019, arXiv 1905.04899",
        "A classifier is trained on mixtures of two images and of their labels.",
        ("mixup.yaml",),
        ("mixed_cross_entropy",),
    ),
    Method(
        "metric_losses",
        "Schroff et al. 2015, arXiv 1503.03832; Wu et al. 2017, arXiv 1706.07567; Sohn 2016",
        "Triplet, margin and N-pair losses: what contrastive losses over whole batches came from.",
        ("metric_losses.yaml",),
        ("triplet", "margin", "n_pair"),
    ),
)

METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}


def find_method(name: str) -> Method:
    """The method of a name, also with hyphens. Raises InvalidFile with the nearest one."""
    plain = name.replace("-", "_")
    if plain not in METHODS:
        raise InvalidFile(f"unknown method {name!r}{nearest(plain, set(METHODS))}; known: {', '.join(METHODS)}")
    return METHODS[plain]


def shipped_file(name: str) -> Path:
    """A shipped search space: in an installed package beside this file, in a checkout beside the package.

    Raises RayconError where this installation lacks it.
    """
    here = Path(__file__).parent
    for folder in (here / "search_spaces", here.parent / "search_spaces"):
        if (folder / name).is_file():
            return folder / name
    raise RayconError(f"{name} is missing from this installation")
