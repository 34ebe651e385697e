"""The problems that benchmarks run: layers of well-known networks, and what they leave out."""

from typing import Any, TypeAlias

from npconv.problem import ConvProblem

Problem: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]


def _layer(N: int, C: int, H: int, K: int, R: int, **options: Any) -> Problem:
    """Pose a square layer."""
    return (N, C, H, H), (K, C // options.get("groups", 1), R, R), options


# ResNet-50, VGG-16, MobileNet, LeNet, the demonstration's and a CIFAR network's.
LAYERS: dict[str, Problem] = {
    "r50.conv1": _layer(1, 3, 224, 64, 7, stride=2, padding=3),
    "r50.1x1a": _layer(1, 64, 56, 64, 1),
    "r50.3x3_56": _layer(1, 64, 56, 64, 3, padding=1),
    "r50.1x1b": _layer(1, 64, 56, 256, 1),
    "r50.3x3_28": _layer(1, 128, 28, 128, 3, padding=1),
    "r50.3x3s2": _layer(1, 128, 56, 128, 3, stride=2, padding=1),
    "r50.1x1s2": _layer(1, 256, 56, 512, 1, stride=2),
    "r50.3x3_14": _layer(1, 256, 14, 256, 3, padding=1),
    "r50.3x3_7": _layer(1, 512, 7, 512, 3, padding=1),
    "r50.1x1_7": _layer(1, 2048, 7, 512, 1),
    "vgg.1_1": _layer(1, 3, 224, 64, 3, padding=1),
    "vgg.1_2": _layer(1, 64, 224, 64, 3, padding=1),
    "vgg.3_2": _layer(1, 256, 56, 256, 3, padding=1),
    "vgg.5": _layer(1, 512, 14, 512, 3, padding=1),
    "mob.dw112": _layer(1, 32, 112, 32, 3, padding=1, groups=32),
    "mob.dw56s2": _layer(1, 144, 56, 144, 3, stride=2, padding=1, groups=144),
    "mob.dw14": _layer(1, 384, 14, 384, 3, padding=1, groups=384),
    "mob.pw14": _layer(1, 384, 14, 96, 1),
    "demo.8x8": _layer(2, 3, 8, 4, 3, padding=1),
    "lenet.1": _layer(32, 1, 28, 6, 5, padding=2),
    "lenet.2": _layer(32, 6, 14, 16, 5),
    "cifar.b32": _layer(32, 32, 32, 64, 3, padding=1),
}

# Other ranks, large kernels, few channels, dilation, groups.
OTHERS: dict[str, Problem] = {
    "large.7": _layer(1, 32, 56, 32, 7, padding=3),
    "large.11": _layer(1, 32, 56, 32, 11, padding=5),
    "large.15": _layer(1, 64, 64, 64, 15, padding=7),
    "large.31": _layer(1, 8, 128, 8, 31, padding=15),
    "large.dw7": _layer(1, 96, 56, 96, 7, padding=3, groups=96),
    "large.dw13": _layer(1, 64, 32, 64, 13, padding=6, groups=64),
    "large.dw31": _layer(1, 32, 56, 32, 31, padding=15, groups=32),
    "large.s2": _layer(1, 16, 128, 32, 11, stride=2, padding=5),
    "photo.9": _layer(1, 1, 512, 1, 9, padding=4),
    "photo.25": _layer(1, 1, 512, 4, 25, padding=12),
    "photo.3": _layer(1, 1, 512, 4, 3, padding=1),
    "dilated.4": _layer(1, 64, 56, 64, 3, padding=4, dilation=4),
    "groups.4": _layer(2, 64, 28, 128, 3, padding=1, groups=4),
    "1d.speech": ((8, 64, 4000), (64, 64, 3), {"padding": 1}),
    "1d.wave": ((1, 1, 100_000), (16, 1, 1024), {}),
    "1d.long": ((4, 32, 2048), (32, 32, 65), {"padding": 32}),
    "3d.3": ((1, 16, 16, 32, 32), (16, 16, 3, 3, 3), {"padding": 1}),
    "3d.7": ((1, 8, 24, 24, 24), (8, 8, 7, 7, 7), {"padding": 3}),
    "tiny.1d": ((1, 1, 12), (1, 1, 5), {}),
    "tiny.2": _layer(1, 2, 6, 3, 2),
    "tiny.3": _layer(3, 2, 5, 2, 3, padding=1),
    "tiny.3d": ((1, 3, 2, 4, 2), (3, 3, 2, 2, 1), {"padding": 1}),
    "small.3": _layer(1, 8, 12, 8, 3, padding=1),
    "small.5": _layer(4, 4, 16, 8, 5),
    "wide.1x3": ((1, 32, 40, 120), (32, 32, 1, 3), {"padding": (0, 1)}),
    "flat.dw1d": ((2, 128, 1000), (128, 1, 31), {"padding": 15, "groups": 128}),
}


def flops(name: str) -> float:
    """Count a layer's floating-point operations by direct summation, two for each product."""
    x, w, options = LAYERS[name]
    return 2.0 * ConvProblem.of(x, w, **options).products
