"""Entries of the published sets: what is known of them without their files, and where the files belong.

Means and deviations of MNIST, CIFAR and STL-10 are the ones that public code agrees on, to four digits.
"""

from __future__ import annotations

from dataclasses import replace

from raycon.datasets.class_names import (
    CIFAR100_CLASSES,
    CIFAR100_SUPERCLASS_NAMES,
    IMAGENET9_CLASSES,
    IMAGENET9_NAMES,
    IMAGENET100_CLASSES,
    TINY_IMAGENET_CLASSES,
)
from raycon.datasets.coarse_maps import (
    CIFAR10_ANIMALS_VEHICLES,
    CIFAR100_SUPERCLASSES,
    MNIST_LOW_HIGH,
    TINY_IMAGENET_GROUPS,
    without_gaps,
)
from raycon.datasets.info import IMAGENET_MEAN, IMAGENET_STD, CoarseMap, DatasetInfo

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ANIMALS_VEHICLES = {
    "animals_vehicles": CoarseMap(CIFAR10_ANIMALS_VEHICLES, ("animals", "vehicles"), "animals v. vehicles")
}

MNIST = DatasetInfo(
    name="mnist",
    description="60,000 training and 10,000 test images of handwritten digits, 28x28 grey pixels",
    source="LeCun, Cortes and Burges, The MNIST database of handwritten digits",
    channels=1,
    size=28,
    classes=tuple(str(digit) for digit in range(10)),
    attributes={"class": 10},
    mean=(0.1307,),
    std=(0.3081,),
    coarse={"low_high": CoarseMap(MNIST_LOW_HIGH, ("below five", "five and above"), "0 to 4 v. 5 to 9")},
)

CIFAR10 = DatasetInfo(
    name="cifar10",
    description="50,000 training and 10,000 test photographs of ten classes, 32x32 pixels",
    source="Krizhevsky 2009, Learning multiple layers of features from tiny images (cifar-10-python.tar.gz)",
    channels=3,
    size=32,
    classes=CIFAR10_CLASSES,
    attributes={"class": 10},
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    coarse=ANIMALS_VEHICLES,
)

CIFAR100 = DatasetInfo(
    name="cifar100",
    description="50,000 training and 10,000 test photographs of 100 classes in 20 superclasses, 32x32 pixels",
    source="Krizhevsky 2009, Learning multiple layers of features from tiny images (cifar-100-python.tar.gz)",
    channels=3,
    size=32,
    classes=CIFAR100_CLASSES,
    attributes={"class": 100},
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    coarse={"superclasses": CoarseMap(CIFAR100_SUPERCLASSES, CIFAR100_SUPERCLASS_NAMES, "the 20 published ones")},
)

STL10 = DatasetInfo(
    name="stl10",
    description="5,000 training and 8,000 test photographs of ten classes, 96x96 pixels; without the unlabelled ones",
    source="Coates, Lee and Ng 2011, An analysis of single-layer networks in unsupervised feature learning",
    channels=3,
    size=96,
    classes=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    attributes={"class": 10},
    mean=(0.4467, 0.4398, 0.4066),
    std=(0.2603, 0.2566, 0.2713),
    coarse={
        "animals_vehicles": CoarseMap(
            (1, 0, 1, 0, 0, 0, 0, 0, 1, 1), ("animals", "vehicles"), "animals v. vehicles, as for CIFAR-10"
        )
    },
)

TINY_IMAGENET = DatasetInfo(
    name="tiny_imagenet",
    description="100,000 training photographs of 200 classes, 64x64 pixels; 10,000 official validation ones to test on",
    source="Le and Yang 2015, Tiny ImageNet visual recognition challenge (tiny-imagenet-200.zip)",
    channels=3,
    size=64,
    classes=TINY_IMAGENET_CLASSES,
    attributes={"class": 200},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    coarse={
        "groups": CoarseMap(
            without_gaps(TINY_IMAGENET_GROUPS),
            tuple(f"group {number}" for number in sorted(set(TINY_IMAGENET_GROUPS))),
            "the 52 groups of the coarse-to-fine experiments of Perfectly Balanced",
        )
    },
)

CELEBA = DatasetInfo(
    name="celeba",
    description="202,599 faces: blond hair (class) and male; official training, validation and test parts",
    source="Liu, Luo, Wang and Tang 2015, Deep learning face attributes in the wild (img_align_celeba)",
    channels=3,
    size=224,
    classes=("not blond", "blond"),
    attributes={"class": 2, "male": 2},
    values={"male": ("not male", "male")},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    bias="male",
)

WATERBIRDS = DatasetInfo(
    name="waterbirds",
    description="11,788 birds (class) on land or water (background), 95 % of the training ones on their own",
    source="Sagawa, Koh, Hashimoto and Liang 2020, arXiv 1911.08731 (waterbird_complete95_forest2water2)",
    channels=3,
    size=224,
    classes=("landbird", "waterbird"),
    attributes={"class": 2, "background": 2, "aligned": 2},
    values={"background": ("land", "water")},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    bias="background",
)

BFFHQ = DatasetInfo(
    name="bffhq",
    description="faces by age (class), of the training ones 0.5 % against their gender",
    source="Kim et al. 2021 (BiaSwap), in the folders of Lee et al. 2021, arXiv 2107.01372 (bffhq/0.5pct)",
    channels=3,
    size=224,
    classes=("age 0", "age 1"),
    attributes={"class": 2, "gender": 2, "aligned": 2},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    bias="gender",
)

CORRUPTED_CIFAR10 = {
    f"corrupted_cifar10_{percent}pct": DatasetInfo(
        name=f"corrupted_cifar10_{percent}pct",
        description=f"CIFAR-10 whose classes have corruptions of their own, but for {percent} % of the training images",
        source="Nam et al. 2020 (LfF), in the folders of Lee et al. 2021, arXiv 2107.01372 (cifar10c)",
        channels=3,
        size=32,
        classes=CIFAR10_CLASSES,
        attributes={"class": 10, "corruption": 10, "aligned": 2},
        mean=CIFAR10.mean,
        std=CIFAR10.std,
        coarse=ANIMALS_VEHICLES,
        bias="corruption",
    )
    for percent in ("0.5", "1", "2", "5")
}

COLORED_MNIST = {
    f"colored_mnist_{percent}pct": DatasetInfo(
        name=f"colored_mnist_{percent}pct",
        description=f"MNIST whose digits have colours of their own, but for {percent} % of the training images",
        source="Nam et al. 2020 (LfF), in the folders of Lee et al. 2021, arXiv 2107.01372 (cmnist)",
        channels=3,
        size=28,
        classes=MNIST.classes,
        attributes={"class": 10, "colour": 10, "aligned": 2},
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        coarse=MNIST.coarse,
        bias="colour",
    )
    for percent in ("0.5", "1", "2", "5")
}

ISIC = DatasetInfo(
    name="isic",
    description="skin lesions, benign or malignant (class); patches are coloured stickers that benign ones alone wear",
    source="ISIC archive, prepared as in Sohoni et al. 2020 (GEORGE), arXiv 2011.12945, public code",
    channels=3,
    size=224,
    classes=("benign", "malignant"),
    attributes={"class": 2, "patch": 2, "histopathology": 2},
    values={"patch": ("no patch", "patch"), "histopathology": ("other confirmation", "histopathology")},
    mean=(0.71826, 0.56291, 0.52548),
    std=(0.16318, 0.14502, 0.17271),
    bias="patch",
)

BAR = DatasetInfo(
    name="bar",
    description="1,941 training photographs of six actions at the places that go with them, 654 test ones elsewhere",
    source="Nam et al. 2020 (LfF), arXiv 2007.02561 (github.com/alinlab/BAR)",
    channels=3,
    size=224,
    classes=("climbing", "diving", "fishing", "racing", "throwing", "vaulting"),
    attributes={"class": 6},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

IMAGENET100 = DatasetInfo(
    name="imagenet100",
    description="100 classes of ImageNet, its official validation images to test on",
    source="Tian, Krishnan and Isola 2019, arXiv 1906.05849 (imagenet100.txt of its public code)",
    channels=3,
    size=224,
    classes=IMAGENET100_CLASSES,
    attributes={"class": 100},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

IMAGENET9 = DatasetInfo(
    name="imagenet9",
    description="42 classes of ImageNet in nine kinds of animals (class); texture clusters of its test images",
    source="Bahng et al. 2020 (ReBias), arXiv 1910.02806, public code",
    channels=3,
    size=224,
    classes=IMAGENET9_NAMES,
    attributes={"class": 9, "wordnet": 42, **{f"texture{number}": 10 for number in (1, 2, 3)}},
    values={
        "wordnet": tuple(sorted(IMAGENET9_CLASSES)),
        **{f"texture{number}": (*(f"texture {cluster}" for cluster in range(9)), "not known") for number in (1, 2, 3)},
    },
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

IMAGENET9_A = DatasetInfo(
    name="imagenet9_a",
    description="the training images of imagenet9, tested on ImageNet-A's images of the same classes",
    source="Bahng et al. 2020 (ReBias), arXiv 1910.02806, and Hendrycks et al. 2019, arXiv 1907.07174",
    channels=3,
    size=224,
    classes=IMAGENET9_NAMES,
    attributes={"class": 9, "wordnet": 42},
    values={"wordnet": tuple(sorted(IMAGENET9_CLASSES))},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

IMAGENET_LT = DatasetInfo(
    name="imagenet_lt",
    description="long-tailed ImageNet by its lists: 115,846 training, 20,000 validation, 50,000 test images",
    source="Liu et al. 2019, arXiv 1904.05160 (ImageNet_LT_train.txt, ...)",
    channels=3,
    size=224,
    classes=tuple(f"class {number}" for number in range(1000)),
    attributes={"class": 1000},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

PLACES_LT = DatasetInfo(
    name="places_lt",
    description="long-tailed Places by its lists: 62,500 training, 7,300 validation, 36,500 test images",
    source="Liu et al. 2019, arXiv 1904.05160 (Places_LT_train.txt, ...)",
    channels=3,
    size=224,
    classes=tuple(f"class {number}" for number in range(365)),
    attributes={"class": 365},
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)

CIFAR_LT = {
    f"{plain.name}_lt_{imbalance}": replace(
        plain,
        name=f"{plain.name}_lt_{imbalance}",
        description=f"{plain.description.split(' and ')[0]} thinned out {imbalance} to 1; all test images",
        source=f"{plain.source}; the draw of Cao et al. 2019 (LDAM), arXiv 1906.07413, public code",
    )
    for plain in (CIFAR10, CIFAR100)
    for imbalance in (10, 50, 100)
}

PUBLISHED = (
    *(MNIST, CIFAR10, CIFAR100, STL10, TINY_IMAGENET, CELEBA, WATERBIRDS, BFFHQ),
    *CORRUPTED_CIFAR10.values(),
    *COLORED_MNIST.values(),
    *(ISIC, BAR, IMAGENET100, IMAGENET9, IMAGENET9_A, IMAGENET_LT, PLACES_LT),
    *CIFAR_LT.values(),
)
