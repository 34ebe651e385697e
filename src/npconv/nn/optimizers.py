"""Optimisers: how parameters follow their gradients, and schedules: how fast, from step to step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from npconv.arrays import check_shape
from npconv.compiled.elementwise import descend
from npconv.errors import DTypeError, StateError
from npconv.nn.layer import Layer
from npconv.options import real_number
from npconv.problem import Array

# (step, steps in all) to the factor that multiplies the optimiser's lr
Schedule: TypeAlias = Callable[[int, int], float]


class Optimizer(ABC):
    """Changes the parameters of a layer, in place, by their gradients.

    An optimiser of your own defines `update`, and lists its arrays in `state` and its
    numbers in `settings`.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Linear, Optimizer
    >>> class SignDescent(Optimizer):
    ...     def update(self, name, parameter, gradient, lr):
    ...         parameter -= lr * np.sign(gradient)
    >>> layer = Linear(1, 1, rng=0)
    >>> optimizer = SignDescent(layer, lr=0.5)
    >>> y = layer.forward([[1.0]])
    >>> _ = layer.backward([[1.0]])
    >>> optimizer.step()
    >>> layer.bias
    array([-0.5], dtype=float32)
    """

    def __init__(self, model: Layer, lr: float) -> None:
        if not isinstance(model, Layer):
            raise DTypeError(f"model must be a Layer, but it is of type {type(model).__qualname__}")
        self.model = model
        self.lr = real_number("lr", lr, at_least=0)
        self.t = np.zeros((), np.int64)  # steps taken; an array, as all that is state

    def step(self, factor: float = 1.0) -> None:
        """Change every parameter once, with the learning rate ``lr * factor``.

        Raises
        ------
        StateError
            A parameter has no gradient yet: call `forward` and `backward` first.
        """
        parameters, gradients = self.model.parameters(), self.model.gradients()
        for name, parameter in parameters.items():
            if name not in gradients:
                raise StateError(
                    f"step needs a gradient of every parameter, but {name!r} has none "
                    "yet; call forward and backward first"
                )
            check_shape(f"the gradient of {name}", gradients[name], parameter.shape, "its")
        self.t += 1
        for name, parameter in parameters.items():
            self.update(name, parameter, gradients[name], self.lr * factor)

    @abstractmethod
    def update(self, name: str, parameter: Array, gradient: Array, lr: float) -> None:
        """Change one parameter in place."""

    def state(self) -> dict[str, Array]:
        """Name the live arrays that a checkpoint must hold."""
        return {"t": self.t}

    def settings(self) -> dict[str, Any]:
        """Name the hyperparameters."""
        return {"lr": self.lr}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value}" for name, value in self.settings().items())
        return f"{type(self).__name__}({shown})"

    def _zeros(self) -> dict[str, Array]:
        return {name: np.zeros_like(p) for name, p in self.model.parameters().items()}


class SGD(Optimizer):
    """Stochastic gradient descent with momentum and weight decay, by PyTorch's rule.

    ::

        g = gradient + weight_decay * parameter
        v = momentum * v + g                     (v begins at 0)
        parameter -= lr * v                      (nesterov: lr * (g + momentum * v))

    Parameters
    ----------
    model : Layer
    lr : float
        Learning rate, at least 0.
    momentum : float
        How much of the last velocity stays, from 0 to 1.
    weight_decay : float
        Strength of the pull towards zero, at least 0. It pulls at biases too.
    nesterov : bool
        Look one step ahead.

    Raises
    ------
    DTypeError, UnsupportedError
        Arguments of the wrong kind or out of range.
    StateError
        `step` before `backward`.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum
    in deep learning", 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import SGD, Linear
    >>> layer = Linear(1, 1, dtype=np.float64, rng=0)
    >>> layer.weight[...] = 1
    >>> optimizer = SGD(layer, lr=0.1, momentum=0.9)
    >>> for _ in range(2):  # v is 1, then 1.9
    ...     y = layer.forward([[1.0]])
    ...     dx = layer.backward([[1.0]])
    ...     optimizer.step()
    >>> layer.weight.round(6)
    array([[0.71]])
    """

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(model, lr)
        self.momentum = real_number("momentum", momentum, at_least=0, at_most=1)
        self.weight_decay = real_number("weight_decay", weight_decay, at_least=0)
        self.nesterov = bool(nesterov)
        self.velocity = self._zeros() if momentum else {}

    def update(self, name: str, parameter: Array, gradient: Array, lr: float) -> None:
        """Apply the rule of the class to one parameter."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if self.momentum:
            velocity = self.velocity[name]
            numbers = self.momentum, lr
            if not self.nesterov and descend("momentum", numbers, parameter, gradient, velocity):
                return
            velocity *= self.momentum
            velocity += gradient
            ahead = gradient + self.momentum * velocity if self.nesterov else velocity
            parameter -= lr * ahead
        else:
            parameter -= lr * gradient

    def state(self) -> dict[str, Array]:
        """Name the step count and the velocities."""
        named = {f"velocity.{name}": array for name, array in self.velocity.items()}
        return super().state() | named

    def settings(self) -> dict[str, Any]:
        """Name the hyperparameters."""
        return {
            "lr": self.lr,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "nesterov": self.nesterov,
        }


class Adam(Optimizer):
    """Adam: steps of a size that each parameter's own gradients set, by PyTorch's rule.

    ::

        g = gradient + weight_decay * parameter
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        parameter -= lr * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    model : Layer
    lr : float
        Learning rate, at least 0.
    betas : (float, float)
        How much of both averages stays, from 0 to below 1.
    eps : float
        Added to the denominator.
    weight_decay : float
        Strength of the pull towards zero, at least 0. It pulls at biases too.

    Raises
    ------
    DTypeError, UnsupportedError
        Arguments of the wrong kind or out of range.
    StateError
        `step` before `backward`.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from npconv.nn import Adam, Linear
    >>> layer = Linear(1, 1, dtype=np.float64, rng=0)
    >>> layer.weight[...] = 1
    >>> optimizer = Adam(layer, lr=0.1)
    >>> y = layer.forward([[1.0]])
    >>> dx = layer.backward([[5.0]])
    >>> optimizer.step()  # the first step is lr * sign(gradient)
    >>> layer.weight.round(6)
    array([[0.9]])
    """

    def __init__(
        self,
        model: Layer,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, lr)
        below_1 = math.nextafter(1, 0)
        beta1, beta2 = betas
        self.betas = (
            real_number("betas[0]", beta1, at_least=0, at_most=below_1),
            real_number("betas[1]", beta2, at_least=0, at_most=below_1),
        )
        self.eps = real_number("eps", eps, at_least=0)
        self.weight_decay = real_number("weight_decay", weight_decay, at_least=0)
        self.m, self.v = self._zeros(), self._zeros()

    def update(self, name: str, parameter: Array, gradient: Array, lr: float) -> None:
        """Apply the rule of the class to one parameter."""
        beta1, beta2 = self.betas
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        m, v, t = self.m[name], self.v[name], int(self.t)
        root, rate = math.sqrt(1 - beta2**t), lr / (1 - beta1**t)
        numbers = beta1, 1 - beta1, beta2, 1 - beta2, root, self.eps, rate
        if descend("adam", numbers, parameter, gradient, m, v):
            return
        m *= beta1
        m += (1 - beta1) * gradient
        v *= beta2
        v += (1 - beta2) * np.square(gradient)
        denominator = np.sqrt(v)
        denominator /= root
        denominator += self.eps
        parameter -= rate * (m / denominator)

    def state(self) -> dict[str, Array]:
        """Name the step count and both averages."""
        named = {f"m.{name}": array for name, array in self.m.items()}
        named |= super().state()
        return named | {f"v.{name}": array for name, array in self.v.items()}

    def settings(self) -> dict[str, Any]:
        """Name the hyperparameters."""
        return {
            "lr": self.lr,
            "betas": list(self.betas),
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }


@dataclass(frozen=True, slots=True)
class CosineSchedule:
    """Half a cosine from 1 down to `final`, after a linear warm-up.

    Parameters
    ----------
    warmup : float
        Share of all steps over which the factor climbs to 1, from 0 to 1.
    final : float
        Factor at the end, from 0 to 1.

    Raises
    ------
    DTypeError, UnsupportedError
        Arguments that are no numbers or out of range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017;
    for the warm-up Goyal et al., "Accurate, Large Minibatch SGD", 2017.

    Examples
    --------
    >>> from npconv.nn import CosineSchedule
    >>> schedule = CosineSchedule(warmup=0.5)
    >>> [schedule(step, 8) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.8535533905932737]
    """

    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ("warmup", "final"):
            real_number(name, getattr(self, name), at_least=0, at_most=1)

    def __call__(self, step: int, steps: int) -> float:
        """Give the factor for step number `step` of `steps`, counted from 0."""
        climbing = round(self.warmup * steps)
        if step < climbing:
            return (step + 1) / climbing
        done = (step - climbing) / max(steps - climbing, 1)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2
