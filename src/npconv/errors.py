"""The errors of npconv: one tree, every leaf also the built-in a caller would catch.

::

    ConvError
      ShapeError(ValueError)         sizes and per-axis numbers that do not fit together
      DTypeError(TypeError)          the wrong kind of thing, or a cast that loses meaning
      UnsupportedError(ValueError)   an unknown name, or one that cannot serve here
      RangeError(OverflowError)      integers that would not fit the result
      CapacityError(MemoryError)     a result larger than the machine's memory
      StateError(RuntimeError)       a call before the one it needs, such as backward
      MissingExtraError(ImportError) an optional package that is not installed
      FileFormatError(ValueError)    a truncated, foreign or inconsistent file

A message names the argument, what was needed, what came, and the arithmetic between
them. A call that raises has changed nothing.
"""


class ConvError(Exception):
    """Base of every error npconv raises on purpose.

    Examples
    --------
    >>> import npconv
    >>> try:
    ...     npconv.conv_output_shape((1, 3, 8, 8), (4, 2, 3, 3))
    ... except npconv.ConvError as error:
    ...     print(error)
    input has 3 channels but the kernel reads 2 (kernel.shape[1] * groups = 2 * 1); \
input.shape=(1, 3, 8, 8), kernel.shape=(4, 2, 3, 3)
    """


class ShapeError(ConvError, ValueError):
    """Sizes or per-axis numbers do not fit: channels, strides, pads, groups, kernel sizes.

    Examples
    --------
    >>> import npconv
    >>> npconv.conv_output_shape((1, 1, 4, 4), (1, 1, 3, 3), stride=0)
    Traceback (most recent call last):
    ...
    npconv.errors.ShapeError: stride must be at least 1 on every axis, but stride=0
    """


class DTypeError(ConvError, TypeError):
    """The wrong kind of thing: a string, None, a float stride, a masked array, a lossy cast.

    Examples
    --------
    >>> import npconv
    >>> npconv.conv_output_shape((1, 1, 4, 4), (1, 1, 3, 3), stride=1.5)
    Traceback (most recent call last):
    ...
    npconv.errors.DTypeError: stride must be an integer or one per axis, but stride=1.5
    """


class UnsupportedError(ConvError, ValueError):
    """An unknown name or combination, or an algorithm, mode or setting that cannot serve.

    Examples
    --------
    >>> import npconv
    >>> npconv.conv_output_shape((1, 1, 4, 4), (1, 1, 3, 3), padding_mode="mirror")
    Traceback (most recent call last):
    ...
    npconv.errors.UnsupportedError: padding_mode must be one of 'zeros', 'reflect', \
'replicate', 'circular', but padding_mode='mirror'
    """


class RangeError(ConvError, OverflowError):
    """Integers whose exact result would not fit the result dtype.

    Examples
    --------
    >>> issubclass(RangeError, OverflowError)
    True
    """


class CapacityError(ConvError, MemoryError):
    """A result larger than the machine's (or container's) memory, refused beforehand.

    Examples
    --------
    >>> import numpy as np, npconv
    >>> npconv.conv(np.ones((1, 1, 1)), np.ones((1, 1, 1)), padding=2**60)
    Traceback (most recent call last):
    ...
    npconv.errors.CapacityError: ...
    """


class StateError(ConvError, RuntimeError):
    """A call that needs an earlier one: backward before forward, update before backward.

    Examples
    --------
    >>> import npconv
    >>> npconv.Conv2dNumpy(1, 1, 3).update(lr=0.1)
    Traceback (most recent call last):
    ...
    npconv.errors.StateError: update needs the gradients of a backward call, but there \
was none yet; call forward and backward first
    """


class MissingExtraError(ConvError, ImportError):
    """An optional package is not installed; the message says what to install.

    Examples
    --------
    >>> issubclass(MissingExtraError, ImportError)
    True
    """


class FileFormatError(ConvError, ValueError):
    """A file is truncated, foreign or inconsistent; nothing was loaded from it.

    Examples
    --------
    >>> issubclass(FileFormatError, ValueError)
    True
    """


def show(value: object, most: int = 200) -> str:
    """Write a value as its ``repr`` for a message: not at any length, and without failing."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = f"<{type(value).__name__} of integers too large to print>"
    return text if len(text) <= most else f"{text[:most]}..."
