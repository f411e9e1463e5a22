"""The catalogue of terms: what an `objective` section can name. One import is one term; above it stands its source.

Every function that is imported here is a term under its own name, and nothing else may be imported here.
"""

from __future__ import annotations

# Zhu et al. 2022, arXiv 2207.09052
from raycon.losses.balanced_contrastive import balanced_contrastive as balanced_contrastive

# Perfectly Balanced, Chen et al. 2022, arXiv 2204.07596
from raycon.losses.class_conditional_infonce import class_conditional_infonce as class_conditional_infonce

# Szegedy et al. 2016 for the smoothing, arXiv 1512.00567
from raycon.losses.cross_entropy import cross_entropy as cross_entropy

# Chuang et al. 2020, arXiv 2007.00224
from raycon.losses.debiased import debiased as debiased

# the same, positive samples from the batch by label; ours
from raycon.losses.debiased import debiased_supervised as debiased_supervised

# Yeh et al. 2022, arXiv 2110.06848
from raycon.losses.decoupled import decoupled as decoupled

# the same, weighted by how far apart the views are
from raycon.losses.decoupled import decoupled_weighted as decoupled_weighted

# Barbano et al. 2023, eq. 2
from raycon.losses.epsilon_supinfonce import epsilon_infonce as epsilon_infonce

# Barbano et al. 2023, eq. 5
from raycon.losses.epsilon_supinfonce import epsilon_supcon as epsilon_supcon

# Barbano et al. 2023, arXiv 2211.05568, eq. 4
from raycon.losses.epsilon_supinfonce import epsilon_supinfonce as epsilon_supinfonce

# our definition of ESupCon, after the idea of Aljundi et al. 2023, arXiv 2211.03646
from raycon.losses.esupcon import esupcon as esupcon

# Barbano et al. 2023, eq. 9; the authors' code; ours by moments
from raycon.losses.fairkl import fairkl as fairkl

# the same by continuous bias scores; our reading of a sentence there
from raycon.losses.fairkl_scores import fairkl_scores as fairkl_scores

# Zhang and Sabuncu 2018, arXiv 1805.07836
from raycon.losses.generalised_cross_entropy import generalised_cross_entropy as generalised_cross_entropy

# SelecMix, Hwang et al. 2022, arXiv 2211.02291
from raycon.losses.generalised_supcon import generalised_supcon as generalised_supcon

# Sagawa et al. 2020, arXiv 1911.08731
from raycon.losses.group_dro import group_dro as group_dro

# SimCLR, Chen et al. 2020, arXiv 2002.05709
from raycon.losses.infonce import infonce as infonce

# as in Zhu et al. 2022, arXiv 2207.09052
from raycon.losses.logit_adjusted_cross_entropy import logit_adjusted_cross_entropy as logit_adjusted_cross_entropy

# Wu et al. 2017, arXiv 1706.07567, with a fixed boundary
from raycon.losses.margin import margin as margin

# mixup, arXiv 1710.09412; CutMix, arXiv 1905.04899
from raycon.losses.mixed_cross_entropy import mixed_cross_entropy as mixed_cross_entropy

# Sohn 2016, NIPS
from raycon.losses.n_pair import n_pair as n_pair

# NNCLR, Dwibedi et al. 2021, arXiv 2104.14548
from raycon.losses.nearest_neighbour_infonce import nearest_neighbour_infonce as nearest_neighbour_infonce

# Perfectly Balanced, supervised and class-conditional part in one term
from raycon.losses.perfectly_balanced import spread as spread

# the same, exactly as the authors' code
from raycon.losses.perfectly_balanced import spread_reference as spread_reference

# SimCLR that counts same-prototype negatives; the mask is our ablation
from raycon.losses.prototype_infonce import prototype_infonce as prototype_infonce

# class-conditional autoencoder, Chen et al. 2022, arXiv 2204.07596
from raycon.losses.reconstruction import reconstruction as reconstruction

# RenyiCL, Lee and Shin 2022, arXiv 2208.06270
from raycon.losses.renyi import renyi as renyi

# the sampling model of Awasthi et al. 2022, arXiv 2205.01789
from raycon.losses.sampled_infonce import sampled_infonce as sampled_infonce

# Denize et al. 2023, arXiv 2111.14585
from raycon.losses.sce import sce as sce

# Siamese prototypical, Mo et al., arXiv 2208.08819
from raycon.losses.siamese_prototypical import prototype_classification as prototype_classification

# Siamese prototypical, Mo et al., arXiv 2208.08819
from raycon.losses.siamese_prototypical import siamese_metric_loss as siamese_metric_loss

# Khosla et al. 2020, arXiv 2004.11362
from raycon.losses.supcon import supcon as supcon

# the same, exactly as the authors' TensorFlow code
from raycon.losses.supcon import supcon_google as supcon_google

# our joint form of a pairwise cross entropy, after Boudiaf et al. 2020, arXiv 2003.08983
from raycon.losses.tightness import tightness as tightness

# our definition for CDvG, Jung et al. 2023, arXiv 2112.01021
from raycon.losses.translated_contrast import translated_contrast as translated_contrast

# Schroff et al. 2015, arXiv 1503.03832; Hermans et al. 2017, arXiv 1703.07737
from raycon.losses.triplet import triplet as triplet

# Han et al. 2023, arXiv 2204.10695, as the authors' code has it
from raycon.losses.unicon import unicon as unicon

# SupCon with universum negatives; our definition, after Han et al. 2023
from raycon.losses.unicon import unicon_append as unicon_append

# LfF, Nam et al. 2020, arXiv 2007.02561
from raycon.losses.weighted_cross_entropy import weighted_cross_entropy as weighted_cross_entropy
