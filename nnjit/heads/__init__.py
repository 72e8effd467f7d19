"""The heads: what a network's output means.

We choose the head for what the network should predict; the rest follows. A head assumes how the targets y are
distributed, given the output z of the last layer (the logits). From that distribution come

activation
    what turns z into the distribution's parameter: a mean, a rate, a probability;
loss
    l = -log p(y), less what does not depend on z: the smaller, the likelier the targets are under the
    network;
delta
    dl/dz, with which the backward pass begins. Where activation and loss belong to one distribution it is the
    prediction less the target, or nearly so: it vanishes where the network is right, and nowhere else;
decision
    what is predicted where one answer is wanted.

A network whose head is chosen so is fitted by maximum likelihood: I. Goodfellow, Y. Bengio, A. Courville,
"Deep Learning", MIT Press, 2016, section 6.2; C. Bishop, "Pattern Recognition and Machine Learning",
Springer, 2006, section 5.2.

Everything is computed from z, so that no logit between -1e4 and 1e4 makes a loss or a delta infinite. Where
units have independent distributions, the loss of a row is the mean over its units.

`Head` says what a head is made of.
"""
from .base import Head
from .classification import Bernoulli, Categorical
from .ordinal import Ordinal
from .regression import Gaussian, Huber, Laplace, Poisson
from .several import Heads
from .squared_error import SquaredError

__all__ = ["Bernoulli", "Categorical", "Gaussian", "Head", "Heads", "Huber", "Laplace", "Ordinal", "Poisson",
           "SquaredError"]
