"""The naive twins: each kernel's result in plain NumPy, written from the definition and not from the kernel.

A twin takes arrays and returns a new one; nothing in it is fast, fused or in place. They are grouped by kernel file.
"""
import numpy as np
from scipy import signal, special, stats

# ---- activations ----------------------------------------------------------------------------------------------------


def tanh(x):
    return np.tanh(x)


def tanh_backward(a, delta):
    return delta / np.cosh(np.arctanh(a)) ** 2


def sigmoid(x):
    return (1 + np.tanh(x / 2)) / 2


def sigmoid_backward(a, delta):
    return delta * (a - a**2)


def relu(x):
    return np.maximum(x, 0)


def relu_backward(a, delta):
    return np.where(a > 0, delta, 0)


def softmax(z):
    """From odds: 1 / p_k is the sum over j of e^(z_j - z_k)."""
    return 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)


def log_softmax(z):
    return np.log(softmax(z))


# ---- affine ---------------------------------------------------------------------------------------------------------


def affine(x, W, b):
    z = np.einsum("nd,dh->nh", x.astype(float), W.astype(float))
    return z + b if b.size else z


def weight_gradient(x, delta):
    """The sum of each row's outer product."""
    dW = np.zeros((x.shape[1], delta.shape[1]))
    for x_row, delta_row in zip(x, delta):
        dW += np.outer(x_row, delta_row)
    return dW


def input_gradient(delta, W):
    return np.einsum("nh,dh->nd", delta.astype(float), W.astype(float))


def bias_gradient(delta):
    return np.ones(len(delta)) @ delta.astype(float)


# ---- dropout --------------------------------------------------------------------------------------------------------

GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """SplitMix64's finaliser in Python's unbounded integers."""
    z %= 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def dropout_mask(seed, layer, step, threshold, digits, shape):
    """Unit by unit: kept where a number of ``digits`` fair binary digits is below ``threshold``."""
    key = 0
    for number in (seed, layer, step):
        key = mix((key ^ number) + GOLDEN)
    N, H = shape
    words = -(-H // 64)
    kept = np.zeros(shape, bool)
    for row in range(N):
        for unit in range(H):
            counter = 32 * (row * words + unit // 64)
            hashes = [mix(key + (counter + d + 1) * GOLDEN) for d in range(digits)]
            number = sum((1 - (h >> unit % 64 & 1)) << d for d, h in enumerate(hashes))
            kept[row, unit] = number < threshold
    return kept


# ---- softmax cross-entropy ------------------------------------------------------------------------------------------


def one_hot(labels, K):
    return np.eye(K)[labels]


def categorical(z, y, w):
    """Return (L, accuracy, dL/dz) for rows ``y`` of probabilities, a row at a time."""
    loss, hits, delta = 0.0, 0.0, np.zeros(z.shape)
    for i in np.flatnonzero(w):
        log_p = special.log_softmax(z[i].astype(float))
        loss -= w[i] * y[i] @ log_p
        hits += w[i] * (log_p.argmax() == y[i].argmax())
        delta[i] = w[i] * (np.exp(log_p) - y[i])
    return loss / w.sum(), hits / w.sum(), delta / w.sum()


# ---- updates --------------------------------------------------------------------------------------------------------
#
# A twin takes the gradients of all steps, (T, P), and returns W after the last: running means are written as the sums
# that they stand for.


def sgd(W, gradients, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    for t in range(len(gradients)):
        past = momentum ** np.arange(t, -1.0, -1.0) @ gradients[:t + 1]
        step = momentum * past + gradients[t] if nesterov else past
        W = (1 - learning_rate * weight_decay) * W - learning_rate * step
    return W


def adam(W, gradients, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0):
    for t in range(len(gradients)):
        age, past = np.arange(t, -1.0, -1.0), gradients[:t + 1]
        mean = np.average(past, axis=0, weights=beta_1**age)
        mean_square = np.average(past**2, axis=0, weights=beta_2**age)
        W = (1 - learning_rate * weight_decay) * W - learning_rate * mean / (np.sqrt(mean_square) + epsilon)
    return W


# ---- the book's experiments -----------------------------------------------------------------------------------------


def book(name, literal, data, seed, iterations, batch=100, alpha=2):
    """Run the algorithm as it was published (``literal``), or with the true gradient of the same network.

    ``data`` is (x, y, x_test, y_test), in float64 and class numbers. Returns the weights (W1, W2), the train accuracy
    of every iteration, and a dict of the test accuracy after every tenth iteration and the last.
    """
    x, y, x_test, y_test = data
    tanh_experiment = name == "tanh"
    c, divisor = (0.2, batch**2) if tanh_experiment else (0.02, batch * 10)
    activate = np.tanh if tanh_experiment else lambda z: np.maximum(z, 0)
    slope = (lambda a: 1 - a**2) if tanh_experiment else lambda a: a > 0
    rs = np.random.RandomState(seed)
    W1 = 0.02 * rs.random_sample((x.shape[1], 100)) - 0.01
    W2 = c * rs.random_sample((100, 10)) - c / 2
    train, test = [], {}
    for iteration in range(iterations):
        hits = 0
        for first in range(0, len(x), batch):
            rows = slice(first, first + batch)
            m = rs.randint(2, size=(batch, 100))
            a = activate(x[rows] @ W1)
            h = 2 * m * a
            e = np.exp(h @ W2)
            p = e / e.sum(axis=1, keepdims=True)
            hits += (p.argmax(axis=1) == y[rows]).sum()
            delta_2 = (p - one_hot(y[rows], 10)) / divisor
            delta_1 = (delta_2 @ W2.T) * (slope(h) * m if literal else slope(a) * 2 * m)
            W2 = W2 - alpha * (h.T @ delta_2)
            W1 = W1 - alpha * (x[rows].T @ delta_1)
        train.append(hits / len(x))
        if iteration % 10 == 0 or iteration == iterations - 1:
            test[iteration] = ((activate(x_test @ W1) @ W2).argmax(axis=1) == y_test).mean()
    return (W1, W2), train, test


# ---- heads and losses -----------------------------------------------------------------------------------------------
#
# l and dl/dz of every number, from SciPy's distributions and without regard to overflow.


def squared_error(z, y):
    return -2 * stats.norm.logpdf(y, z) - np.log(2 * np.pi), 2 * (z - y)


def absolute_error(z, y):
    return -stats.laplace.logpdf(y, z) - np.log(2), np.sign(z - y)


def huber(z, y, delta):
    return special.huber(delta, z - y), np.clip(z - y, -delta, delta)


def poisson(z, y):
    """From counts ``y``, which are whole."""
    return -stats.poisson.logpmf(y, np.exp(z)) - special.gammaln(y + 1), np.exp(z) - y


def bernoulli(z, y, pos_weight=1.0):
    p = special.expit(z)
    loss = -pos_weight * y * special.log_expit(z) - (1 - y) * special.log_expit(-z)
    return loss, p * (1 - y + pos_weight * y) - pos_weight * y


def sigmoid_squared_error(z, y):
    p = special.expit(z)
    return (p - y) ** 2, 2 * (p - y) * special.expit(z) * special.expit(-z)


def weighted(losses, slopes, w):
    """Return (L, dL/dz) for the mean over each row's units and the weighted mean over the rows."""
    rows = np.flatnonzero(w)
    delta = np.zeros(slopes.shape)
    delta[rows] = w[rows, None] * slopes[rows] / slopes.shape[1] / w.sum()
    return np.average(losses[rows].mean(axis=1), weights=w[rows]), delta


def softmax_squared_error(z, y):
    """Return l (N,) and dl/dz (N, K), which goes through the whole Jacobian of each row's softmax."""
    p = special.softmax(z, axis=1)
    jacobians = [np.diag(row) - np.outer(row, row) for row in p]
    return ((p - y) ** 2).mean(axis=1), np.array([J @ (2 * (a - t)) / len(a) for J, a, t in zip(jacobians, p, y)])


def ordinal(score, b, y):
    """CORAL as published: return l (N,), dl/dscore (N,) and dl/db (N, K - 1) for cut points in descending order."""
    losses, slopes = np.zeros(len(y)), np.zeros((len(y), len(b)))
    for i in range(len(y)):
        for k in range(len(b)):
            level = float(y[i] > k)
            p = special.expit(score[i] + b[k])
            losses[i] -= np.log(p) * level + np.log(1 - p) * (1 - level)
            slopes[i, k] = p - level
    return losses, slopes.sum(axis=1), slopes


def pairwise_squared_error(y, p):
    """TensorFlow 1's definition, pair by pair."""
    values = []
    for e in p - y:
        pairs = [(e[i] - e[j]) ** 2 for i in range(len(e)) for j in range(i)]
        values.append(sum(pairs) / len(pairs))
    return np.array(values)


# ---- images ---------------------------------------------------------------------------------------------------------


def padding(size, kernel, stride, same):
    """Return the pixels of zeros before and after ``size`` pixels, as Keras defines "same"."""
    outputs = -(-size // stride)
    lacking = max((outputs - 1) * stride + kernel - size, 0) if same else 0
    return lacking // 2, lacking - lacking // 2


def convolution(x, W, b, stride, same):
    """Channel by channel, with SciPy's correlation at every pixel, of which every ``stride``-th is kept."""
    k = len(W)
    x = np.pad(x.astype(float), [(0, 0), *(padding(n, k, stride, same) for n in x.shape[1:3]), (0, 0)])
    images = [[sum(signal.correlate2d(image[:, :, c], W[:, :, c, o].astype(float), "valid") for c in range(W.shape[2]))
               for o in range(W.shape[3])] for image in x]
    return np.array(images).transpose(0, 2, 3, 1)[:, ::stride, ::stride] + (b if b.size else 0)


def convolution_gradient(x, delta, shape, stride, same):
    """Return dW (k, k, C, O): what each weight was multiplied by, and the delta there, summed up."""
    k, (height, width) = shape[0], delta.shape[1:3]
    x = np.pad(x.astype(float), [(0, 0), *(padding(n, k, stride, same) for n in x.shape[1:3]), (0, 0)])
    inputs = np.array([[x[:, i:, j:][:, ::stride, ::stride][:, :height, :width] for j in range(k)] for i in range(k)])
    return np.einsum("yxnijc,nijo->yxco", inputs, delta)


def convolution_matrix(W, input_shape, stride, same):
    """Return the matrix that takes one flat image to its convolution, a column for each of the image's numbers."""
    units = np.eye(np.prod(input_shape)).reshape(-1, *input_shape)
    return convolution(units, W, np.zeros(0), stride, same).reshape(len(units), -1).T


def windows(x, size, stride):
    """Return (N, H', W', size size, C)."""
    height, width = ((n - size) // stride + 1 for n in x.shape[1:3])
    cells = [x[:, i:i + (height - 1) * stride + 1:stride, j:j + (width - 1) * stride + 1:stride]
             for i in range(size) for j in range(size)]
    return np.stack(cells, axis=3)


def max_pool_backward(x, delta, size, stride):
    dx = np.zeros(x.shape)
    first = windows(x, size, stride).argmax(axis=3)
    for (n, i, j, c), cell in np.ndenumerate(first):
        dx[n, i * stride + cell // size, j * stride + cell % size, c] += delta[n, i, j, c]
    return dx
