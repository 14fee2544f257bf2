"""Generated faces put into the picture: the lower face blended in bands, in the frame's own colours and grain.

What lies in front of the face keeps its own pixels, as with every engine. Contacts are looked at: where the lips are
open although they must meet, the mesh brings them together; where that does not do, the clip's own mouth is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from stages.lipsync.composite import Box, Patch, blend_bands, box_around, keep_source, paste, rounded, soft_mask
from stages.lipsync.feedback import SeenMouth, contact_limit_iod
from stages.lipsync.framing import laid
from stages.lipsync.geometry import picture_gap_iod, picture_iod_px
from stages.lipsync.landmarks import JAW_CONTOUR
from stages.lipsync.lips import shown_mouths
from stages.lipsync.plan import FacePlan
from stages.lipsync.sealing import brought_together
from stages.lipsync.warp import Mesh, build_mesh, vertices

if TYPE_CHECKING:
    from stages.lipsync.generated import FaceJob

_OUTLINE = np.array([*JAW_CONTOUR, 425, 2, 205])
"""Closed contour of what is put in: the jaw, and across the cheeks and below the nose."""
_GROW_IOD, _FEATHER_IOD = 0.02, 0.1
_EDGE = 0.06
"""Share of a patch, on each side, over which it fades out."""
_LOOKS_FROM_STRENGTH = 0.5
_ALIKE, _ALIKE_BLUR = 5.0, 1 / 48
"""Difference, in grey levels over a neighbourhood of so much of a patch, up to which it shows the frame's own skin:
there the detail stays that is too fine for the network."""


class _Part(NamedTuple):
    """A drawn part of a frame."""

    box: Box
    bgr: np.ndarray
    """uint8 (h, w, 3)."""
    moved: np.ndarray
    """bool (h, w): pixels that may differ from the source."""
    cover: np.ndarray
    """float32 (h, w) 0-1: how far the generated face covers the frame's own."""


class PastedFace:
    """Puts one generated face into the frames (:class:`stages.lipsync.painting.Painter`)."""

    def __init__(self, seen: SeenMouth, job: FaceJob, gains: np.ndarray) -> None:
        """``seen`` draws the clip's own mouths for the same plan; ``gains`` are float32 (n, 3)."""
        self._seen, self._job, self._gains = seen, job, gains
        self._numbers = {row: number for number, row in enumerate(seen.plan.driven_rows().tolist())}
        self._mesh: Mesh = build_mesh(seen.plan.reference)
        size = job.crops.shape[1]
        place = (np.arange(size) + 0.5) / size
        edge = np.clip(np.minimum(place, 1 - place) / _EDGE, 0, 1).astype(np.float32)
        self._inside = np.minimum(edge[:, None], edge[None])

    @property
    def plan(self) -> FacePlan:
        """What is drawn."""
        return self._seen.plan

    def draw(self, frame: np.ndarray, row: int) -> tuple[np.ndarray, Patch]:
        """Return the frame (uint8 (h, w, 3)) with the face of this row put in, and what was changed in it."""
        part = self._part(frame, row)
        if not self._is_looked_at(row):
            return self._finished(frame, row, part)
        limit_iod = contact_limit_iod(self.plan.contacts[row], self._seen.closed_gap_iod)
        drawn, patch = self._finished(frame, row, part)
        read = self._seen.read(drawn, row)
        if read is None:
            return drawn, patch
        best = drawn, patch._replace(gap_iod=float(picture_gap_iod(read)))
        if best[1].gap_iod > limit_iod:
            drawn, patch = self._finished(frame, row, self._sealed(part, row, read))
            again = self._seen.read(drawn, row)
            if again is not None:
                best = _narrower(best, (drawn, patch._replace(gap_iod=float(picture_gap_iod(again)))))
        if best[1].gap_iod > limit_iod:
            best = _narrower(best, self._seen.draw(frame, row))
        return best

    def _is_looked_at(self, row: int) -> bool:
        plan = self.plan
        is_whole = not plan.states.cover.touches_mouth[row]
        return bool(plan.contacts[row] and plan.strength[row] >= _LOOKS_FROM_STRENGTH and is_whole)

    def _part(self, frame: np.ndarray, row: int) -> _Part:
        number, plan = self._numbers[row], self.plan
        landmarks = plan.states.landmarks(row, row + 1)[0]
        iod_px = float(picture_iod_px(landmarks))
        seen = landmarks[:, :2].astype(np.float64)
        wanted = self._seen.painter.wanted_points(row, plan.target[row], shown_mouths(plan, row))[:, :2]
        box = box_around(np.concatenate([vertices(each, seen, iod_px) for each in (seen, wanted)]), 2, frame.shape)
        own = frame[box.top : box.bottom, box.left : box.right].astype(np.float32)
        cover = self._cover(number, (seen, wanted), box, iod_px) * np.float32(plan.strength[row])
        blended = blend_bands(self._face(number, own, box), own, cover)
        reach = np.clip(3 * cv2.GaussianBlur(cover, (0, 0), max(0.6, 0.01 * iod_px)), 0, 1)[..., None]
        return _Part(box, rounded(own + reach * (blended - own)), reach[..., 0] > 0, cover)

    def _cover(self, number: int, faces: tuple[np.ndarray, ...], box: Box, iod_px: float) -> np.ndarray:
        """Return float32 (h, w) 0-1: the lower face as it was and as it is to be, inside the patch."""
        shape = (box.bottom - box.top, box.right - box.left)
        origin = np.array([box.left, box.top])
        grow, feather = _GROW_IOD * iod_px, _FEATHER_IOD * iod_px
        masks = [soft_mask(points[_OUTLINE] - origin, shape, grow, feather) for points in faces]
        inside = laid(self._inside, self._job.to_picture[number], box, cv2.BORDER_CONSTANT)
        return np.clip(np.minimum(np.maximum(*masks), inside), 0, 1)

    def _face(self, number: int, own: np.ndarray, box: Box) -> np.ndarray:
        """Return float32 (h, w, 3): the patch in the frame's colours, with its detail where both show the same."""
        crop = self._job.crops[number].astype(np.float32)
        patch = self._job.patches[number] * self._gains[number]
        sigma = _ALIKE_BLUR * len(crop)
        differs = np.abs(cv2.GaussianBlur(patch - crop, (0, 0), sigma)).max(axis=-1)
        alike = np.exp(-((differs / _ALIKE) ** 2)).astype(np.float32)
        to_picture = self._job.to_picture[number]
        coarse, face, share = (laid(image, to_picture, box) for image in (crop, patch, alike))
        return face + np.clip(share, 0, 1)[..., None] * (own - coarse)

    def _sealed(self, part: _Part, row: int, read: np.ndarray) -> _Part:
        bgr, moved = brought_together(self.plan, self._mesh, row, part.bgr, part.box, read)
        return part._replace(bgr=bgr, moved=part.moved | moved)

    def _finished(self, frame: np.ndarray, row: int, part: _Part) -> tuple[np.ndarray, Patch]:
        """Put a part into the frame, behind what lies in front of the face."""
        landmarks = self.plan.states.landmarks(row, row + 1)[0]
        seen = landmarks[:, :2].astype(np.float64)
        corners = vertices(seen, seen, float(picture_iod_px(landmarks))) - (part.box.left, part.box.top)
        kept = self.plan.states.cover.kept(row, corners, part.moved.shape)
        if kept is not None:
            own = frame[part.box.top : part.box.bottom, part.box.left : part.box.right]
            bgr = keep_source(own, part.bgr.astype(np.float32), kept)
            part = part._replace(bgr=bgr, moved=part.moved & (kept < 1), cover=part.cover * (1 - kept))
        return paste(frame, part.box, part.bgr, part.moved), Patch(part.box, part.moved, part.cover)


def _narrower(one: tuple[np.ndarray, Patch], other: tuple[np.ndarray, Patch]) -> tuple[np.ndarray, Patch]:
    return min(one, other, key=lambda drawn: drawn[1].gap_iod)
