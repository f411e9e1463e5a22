"""The catalogue of terms: what an `objective` section can name.

A term is a pure function: its positional arguments are tensors of `raycon.vocabulary`, its keyword-only arguments are
knobs with bounds in their types, its result is a scalar. To add one: write the function, an oracle of the same name in
tests/oracles/, and a line below. Terms know nothing of workers, configuration or training.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raycon.losses.balanced_contrastive import balanced_contrastive
from raycon.losses.class_conditional_infonce import class_conditional_infonce
from raycon.losses.cross_entropy import cross_entropy
from raycon.losses.debiased import (
    clamped_count,
    clamped_share,
    clamped_share_supervised,
    debiased,
    debiased_of_samples,
    debiased_supervised,
)
from raycon.losses.decoupled import decoupled, decoupled_weighted
from raycon.losses.epsilon_supinfonce import epsilon_infonce, epsilon_supcon, epsilon_supinfonce
from raycon.losses.esupcon import esupcon
from raycon.losses.fairkl import fairkl
from raycon.losses.fairkl_scores import fairkl_scores
from raycon.losses.generalised_cross_entropy import (
    generalised_cross_entropy,
    generalised_cross_entropy_reference,
)
from raycon.losses.generalised_supcon import generalised_supcon, generalised_supcon_reference
from raycon.losses.group_dro import group_dro, largest_weight, worst_loss
from raycon.losses.infonce import infonce
from raycon.losses.logit_adjusted_cross_entropy import logit_adjusted_cross_entropy
from raycon.losses.margin import margin
from raycon.losses.mixed_cross_entropy import mixed_cross_entropy
from raycon.losses.n_pair import n_pair
from raycon.losses.nearest_neighbour_infonce import nearest_neighbour_infonce
from raycon.losses.perfectly_balanced import spread, spread_reference
from raycon.losses.prototype_infonce import false_negatives, prototype_infonce
from raycon.losses.reconstruction import reconstruction
from raycon.losses.renyi import mutual_information, renyi, renyi_surrogate
from raycon.losses.sampled_infonce import (
    collision_rate,
    collision_rate_of_indices,
    infonce_of_indices,
    sampled_infonce,
)
from raycon.losses.sce import sce, sce_of_pairs, sce_target
from raycon.losses.siamese_prototypical import prototype_classification, siamese_metric_loss, siamese_prototypical
from raycon.losses.supcon import supcon, supcon_google, supcon_of_pairs
from raycon.losses.tightness import tightness
from raycon.losses.translated_contrast import translated_contrast
from raycon.losses.triplet import triplet
from raycon.losses.unicon import unicon, unicon_append
from raycon.losses.weighted_cross_entropy import weighted_cross_entropy

TERMS: dict[str, Callable[..., Tensor]] = {
    "supcon": supcon,  # Khosla et al. 2020, arXiv 2004.11362
    "supcon_google": supcon_google,  # the same, exactly as the authors' TensorFlow code
    "infonce": infonce,  # SimCLR, Chen et al. 2020, arXiv 2002.05709
    "class_conditional_infonce": class_conditional_infonce,  # Perfectly Balanced, Chen et al. 2022, arXiv 2204.07596
    "spread": spread,  # Perfectly Balanced, supervised and class-conditional part in one term
    "spread_reference": spread_reference,  # the same, exactly as the authors' code
    "epsilon_supinfonce": epsilon_supinfonce,  # Barbano et al. 2023, arXiv 2211.05568, eq. 4
    "epsilon_supcon": epsilon_supcon,  # Barbano et al. 2023, eq. 5
    "epsilon_infonce": epsilon_infonce,  # Barbano et al. 2023, eq. 2
    "fairkl": fairkl,  # Barbano et al. 2023, eq. 9; the authors' code; ours by moments
    "fairkl_scores": fairkl_scores,  # the same by continuous bias scores; our reading of a sentence there
    "reconstruction": reconstruction,  # class-conditional autoencoder, Chen et al. 2022, arXiv 2204.07596
    "unicon": unicon,  # Han et al. 2023, arXiv 2204.10695, as the authors' code has it
    "unicon_append": unicon_append,  # SupCon with universum negatives; our definition, after Han et al. 2023
    "mixed_cross_entropy": mixed_cross_entropy,  # mixup, arXiv 1710.09412; CutMix, arXiv 1905.04899
    "weighted_cross_entropy": weighted_cross_entropy,  # LfF, Nam et al. 2020, arXiv 2007.02561
    "generalised_cross_entropy": generalised_cross_entropy,  # Zhang and Sabuncu 2018, arXiv 1805.07836
    "generalised_supcon": generalised_supcon,  # SelecMix, Hwang et al. 2022, arXiv 2211.02291
    "cross_entropy": cross_entropy,  # Szegedy et al. 2016 for the smoothing, arXiv 1512.00567
    "sce": sce,  # Denize et al. 2023, arXiv 2111.14585
    "renyi": renyi,  # RenyiCL, Lee and Shin 2022, arXiv 2208.06270
    "nearest_neighbour_infonce": nearest_neighbour_infonce,  # NNCLR, Dwibedi et al. 2021, arXiv 2104.14548
    "balanced_contrastive": balanced_contrastive,  # Zhu et al. 2022, arXiv 2207.09052
    "esupcon": esupcon,  # our definition of ESupCon, after the idea of Aljundi et al. 2023, arXiv 2211.03646
    "group_dro": group_dro,  # Sagawa et al. 2020, arXiv 1911.08731
    "logit_adjusted_cross_entropy": logit_adjusted_cross_entropy,  # as in Zhu et al. 2022, arXiv 2207.09052
    "margin": margin,  # Wu et al. 2017, arXiv 1706.07567, with a fixed boundary
    "n_pair": n_pair,  # Sohn 2016, NIPS
    "tightness": tightness,  # our joint form of a pairwise cross entropy, after Boudiaf et al. 2020, arXiv 2003.08983
    "translated_contrast": translated_contrast,  # our definition for CDvG, Jung et al. 2023, arXiv 2112.01021
    "triplet": triplet,  # Schroff et al. 2015, arXiv 1503.03832; Hermans et al. 2017, arXiv 1703.07737
    "debiased": debiased,  # Chuang et al. 2020, arXiv 2007.00224
    "debiased_supervised": debiased_supervised,  # the same, positive samples from the batch by label; ours
    "decoupled": decoupled,  # Yeh et al. 2022, arXiv 2110.06848
    "decoupled_weighted": decoupled_weighted,  # the same, weighted by how far apart the views are
    "sampled_infonce": sampled_infonce,  # the sampling model of Awasthi et al. 2022, arXiv 2205.01789
    "prototype_infonce": prototype_infonce,  # SimCLR that counts same-prototype negatives; the mask is our ablation
    "siamese_metric_loss": siamese_metric_loss,  # Siamese prototypical, Mo et al., arXiv 2208.08819
    "prototype_classification": prototype_classification,  # Siamese prototypical, Mo et al., arXiv 2208.08819
}

MEASURES: dict[str, dict[str, Callable[..., Tensor]]] = {
    "debiased": {"clamped_share": clamped_share},
    "debiased_supervised": {"clamped_share": clamped_share_supervised},
    "sampled_infonce": {"collision_rate": collision_rate},
    "renyi": {"mutual_information": mutual_information},
    "group_dro": {"largest_weight": largest_weight, "worst_loss": worst_loss},
    "prototype_infonce": {"false_negatives": false_negatives},
}
"""Term -> numbers that are logged beside its value as `train/objective/<key>_<name>`. A measure takes the term's
tensors, has some of its knobs, returns a scalar, and carries no gradient."""

__all__ = [
    "MEASURES",
    "TERMS",
    "balanced_contrastive",
    "clamped_count",
    "clamped_share",
    "clamped_share_supervised",
    "class_conditional_infonce",
    "collision_rate",
    "collision_rate_of_indices",
    "cross_entropy",
    "debiased",
    "debiased_of_samples",
    "debiased_supervised",
    "decoupled",
    "decoupled_weighted",
    "epsilon_infonce",
    "epsilon_supcon",
    "epsilon_supinfonce",
    "esupcon",
    "fairkl",
    "fairkl_scores",
    "false_negatives",
    "generalised_cross_entropy",
    "generalised_cross_entropy_reference",
    "generalised_supcon",
    "generalised_supcon_reference",
    "group_dro",
    "infonce",
    "infonce_of_indices",
    "logit_adjusted_cross_entropy",
    "margin",
    "mixed_cross_entropy",
    "mutual_information",
    "n_pair",
    "nearest_neighbour_infonce",
    "prototype_classification",
    "prototype_infonce",
    "reconstruction",
    "renyi",
    "renyi_surrogate",
    "sampled_infonce",
    "sce",
    "sce_of_pairs",
    "sce_target",
    "siamese_metric_loss",
    "siamese_prototypical",
    "spread",
    "spread_reference",
    "supcon",
    "supcon_google",
    "supcon_of_pairs",
    "tightness",
    "translated_contrast",
    "triplet",
    "unicon",
    "unicon_append",
    "weighted_cross_entropy",
]
