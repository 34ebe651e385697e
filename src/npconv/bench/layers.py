"""The problems that benchmarks run: layers of well-known networks."""

from typing import Any, TypeAlias

from npconv.problem import ConvProblem

Problem: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]


def layer(N: int, C: int, H: int, K: int, R: int, **options: Any) -> Problem:
    """Pose a square layer."""
    return (N, C, H, H), (K, C // options.get("groups", 1), R, R), options


# ResNet-50, VGG-16, MobileNet, LeNet, the demonstration's and a CIFAR network's.
LAYERS: dict[str, Problem] = {
    "r50.conv1": layer(1, 3, 224, 64, 7, stride=2, padding=3),
    "r50.1x1a": layer(1, 64, 56, 64, 1),
    "r50.3x3_56": layer(1, 64, 56, 64, 3, padding=1),
    "r50.1x1b": layer(1, 64, 56, 256, 1),
    "r50.3x3_28": layer(1, 128, 28, 128, 3, padding=1),
    "r50.3x3s2": layer(1, 128, 56, 128, 3, stride=2, padding=1),
    "r50.1x1s2": layer(1, 256, 56, 512, 1, stride=2),
    "r50.3x3_14": layer(1, 256, 14, 256, 3, padding=1),
    "r50.3x3_7": layer(1, 512, 7, 512, 3, padding=1),
    "r50.1x1_7": layer(1, 2048, 7, 512, 1),
    "vgg.1_1": layer(1, 3, 224, 64, 3, padding=1),
    "vgg.1_2": layer(1, 64, 224, 64, 3, padding=1),
    "vgg.3_2": layer(1, 256, 56, 256, 3, padding=1),
    "vgg.5": layer(1, 512, 14, 512, 3, padding=1),
    "mob.dw112": layer(1, 32, 112, 32, 3, padding=1, groups=32),
    "mob.dw56s2": layer(1, 144, 56, 144, 3, stride=2, padding=1, groups=144),
    "mob.dw14": layer(1, 384, 14, 384, 3, padding=1, groups=384),
    "mob.pw14": layer(1, 384, 14, 96, 1),
    "demo.8x8": layer(2, 3, 8, 4, 3, padding=1),
    "lenet.1": layer(32, 1, 28, 6, 5, padding=2),
    "lenet.2": layer(32, 6, 14, 16, 5),
    "cifar.b32": layer(32, 32, 32, 64, 3, padding=1),
}


def flops(name: str) -> float:
    """Count a layer's floating-point operations by direct summation, two for each product."""
    x, w, options = LAYERS[name]
    return 2.0 * ConvProblem.of(x, w, **options).products
