"""Translators of contrastive learning with debiased views: they give an image the bias of another label.

A translator is trained once for a set of training images, before the encoder, with the label as its domain and without
bias labels. What it changes is whatever is easiest to tie to the label, which is the bias where there is a strong one.
Source of the idea: Jung et al. 2023 (CDvG, arXiv 2112.01021), who have no public code: architectures, losses' weights
and the content gate are our own definition, the training is StarGAN's (Choi et al. 2018, arXiv 1711.09020).
"""
