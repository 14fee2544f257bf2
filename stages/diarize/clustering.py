"""Which windows of speech are of one speaker: average-linkage agglomerative clustering by cosine distance."""

from __future__ import annotations

import numpy as np

from stages.diarize.ge2e import unit

_MOST_CLUSTERED = 1500
"""Windows that are clustered outright (their distances take ``n**2 / 2`` doubles); others join the nearest
centroid."""


def cluster(
    vectors: np.ndarray, weights_ms: np.ndarray, threshold: float, speakers: int | None, min_speaker_ms: float
) -> np.ndarray:
    """Return an int label for every window, numbered from 0 in order of first appearance.

    Args:
        vectors: float32 (n, d) unit vectors in order of time, n >= 1.
        weights_ms: float (n,): how much speech each window stands for.
        threshold: clusters further apart than this mean cosine distance are different speakers.
        speakers: the number of speakers where it is known; then ``threshold`` is not looked at.
        min_speaker_ms: a cluster with less speech is absorbed by its nearest.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    stride = -(-len(vectors) // _MOST_CLUSTERED)
    sample, sample_weights = vectors[::stride], weights_ms[::stride] * stride
    if len(sample) == 1:
        return np.zeros(len(vectors), int)
    tree = linkage(sample, "average", metric="cosine")

    def large(labels: np.ndarray) -> list[int]:
        """Labels with enough speech; the largest one where none has."""
        sizes_ms = np.bincount(labels, sample_weights)
        enough = np.flatnonzero(sizes_ms >= min_speaker_ms)
        return [int(label) for label in (enough if len(enough) else [sizes_ms.argmax()])]

    if speakers is None:
        labels = fcluster(tree, threshold, "distance")
    else:
        # Outliers split off early: cut further down until enough clusters are real speakers.
        cuts = [fcluster(tree, count, "maxclust") for count in range(speakers, len(sample) + 1)]
        labels = next((cut for cut in cuts if len(large(cut)) == speakers), fcluster(tree, speakers, "maxclust"))
    centroids = np.stack(
        [unit((sample * sample_weights[:, None])[labels == label].sum(axis=0)) for label in large(labels)]
    )
    nearest = np.argmax(vectors @ centroids.T, axis=1)
    _, first_seen = np.unique(nearest, return_index=True)
    order = nearest[np.sort(first_seen)]
    return np.argsort(np.argsort(first_seen))[np.searchsorted(np.sort(order), nearest)]
