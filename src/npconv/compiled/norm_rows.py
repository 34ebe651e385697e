"""What batch normalisation knows of each channel: rows of float64, one number a channel.

The last two rows are pairs: for each channel the sums over the output's gradient and over its
products with the normalised input, which are the gradients of bias and weight.
"""

from __future__ import annotations

MEAN, VARIANCE, INVERSE, WEIGHT, BIAS, SUM = range(6)
ROW_COUNT = 7
