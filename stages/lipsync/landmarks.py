"""Indices into MediaPipe's 478 face landmarks (468 of the face mesh, 10 of the irises).

"Left" and "right" in comments are as seen in the picture of a face that looks at the camera. Source of the numbering:
Kartynnik et al. 2019, "Real-time facial surface geometry from monocular video on mobile GPUs", and MediaPipe's
``FaceLandmarksConnections``.
"""

from __future__ import annotations

import numpy as np

COUNT = 478
FACE_MESH_COUNT = 468
"""Those that are not of the irises."""

OUTER_EYE_CORNERS = (33, 263)
"""Their distance is IOD here, the unit of every length that a name marks with ``_iod``."""
MOUTH_CORNERS = (61, 291)
CHIN = 152
NOSE_BASE = 2

UPPER_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
"""Inner edge of the upper lip, left corner to right corner; pairs with :data:`LOWER_INNER` one to one."""
LOWER_INNER = np.array([78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
UPPER_OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291])
LOWER_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291])
GAP_PAIRS = np.array([[13, 14], [82, 87], [312, 317]])
"""The three pairs whose mean distance is the inner gap."""
OUTER_RING = np.concatenate([UPPER_OUTER, LOWER_OUTER[-2:0:-1]])
"""Closed contour of the lips."""
INNER_RING = np.concatenate([UPPER_INNER, LOWER_INNER[-2:0:-1]])
"""Closed contour of the mouth opening."""
# Two rows inside the red of the lips keep its texture from sliding between the contours.
UPPER_MIDDLE = np.array([76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306])
LOWER_MIDDLE = np.array([76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306])
LIP_ROWS = (UPPER_OUTER, UPPER_MIDDLE, UPPER_INNER, LOWER_INNER, LOWER_MIDDLE, LOWER_OUTER)
"""Rows of lip points from above to below, each from the left corner to the right."""
UPPER_LIP_ROWS = (UPPER_INNER, UPPER_MIDDLE, UPPER_OUTER)
LOWER_LIP_ROWS = (LOWER_INNER, LOWER_MIDDLE, LOWER_OUTER)
"""From the opening outwards."""
UPPER_LIP = np.concatenate([UPPER_OUTER, UPPER_MIDDLE, UPPER_INNER])

EYE_RINGS = (
    np.array([33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7]),
    np.array([362, 398, 384, 385, 386, 387, 388, 466, 263, 249, 390, 373, 374, 380, 381, 382]),
)
"""Closed contours of the eyes."""

RIGID = np.array([33, 133, 263, 362, 168, 6, 197, 195, 5, 4, 1, 70, 105, 107, 300, 334, 336, 98, 327, 2])
"""Points that speech hardly moves: eye corners, nose bridge and base, brow."""

JAW_CONTOUR = np.array([132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361])
"""The face contour from below one ear over the chin to the other."""
UPPER_SKIN = np.array([2, 97, 98, 326, 327, 164, 167, 165, 92, 186, 393, 391, 322, 410])
"""Between nose and upper lip."""
CHEEKS = np.array([57, 43, 106, 182, 287, 273, 335, 406, 216, 436, 206, 426, 207, 427, 187, 411, 205, 425, 123, 352])
"""Cheeks and the skin beside the corners of the mouth."""
CHIN_SKIN = np.array(
    [
        *(83, 18, 313, 201, 200, 421, 194, 418, 208, 428, 199, 175, 171, 396, 32, 262, 211, 431, 212, 432, 202, 422),
        *(210, 430, 214, 434, 140, 369, 204, 424),
    ]
)
"""Between the lower lip and the chin's edge."""
LIPS = np.unique(np.concatenate(LIP_ROWS))
LOWER_FACE = np.unique(np.concatenate([LIPS, JAW_CONTOUR, UPPER_SKIN, CHEEKS, CHIN_SKIN]))
"""Every point that the articulation model moves, ascending."""
