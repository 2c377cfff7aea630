"""The report of a sequence: one HTML page that needs nothing from elsewhere.

Pictures are data URIs, there is no script, and every text is escaped.
"""

from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.domain.renditions import Rendition
from dinoserve.domain.sequences import Limits, Misfit, Near, Reason, Shot, Why
from dinoserve.errors import DinoserveError
from dinoserve.services.renditions import RenditionService

_SIDE_PX = 240
_WIDTH, _HEIGHT = 720.0, 160.0
_TOLD: Final[Mapping[Why, str]] = {
    "unlike_reference": "less like the reference than the others",
    "jump": "less like the shot before than others are",
    "parts_drifted": "more of the reference is missing than in the others",
    "no_match": "no match by the calibration",
}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em;
  color: #222; background: #fff }
table { border-collapse: collapse } td, th { padding: .4em .8em; text-align: left;
  border-bottom: 1px solid #ccc; vertical-align: top }
figure { margin: 0; position: relative; display: inline-block }
figure img { display: block } figure svg { position: absolute; inset: 0;
  width: 100%; height: 100% }
.misfit { background: #fdf1e0 } code { overflow-wrap: anywhere }
"""


class Summary(NamedTuple):
    """What a sequence came to.

    Attributes:
        character: that it was compared with; None: the first shot.
        shots: in order, those that could be compared.
        limits: of the outliers.
        consistency: see `domain.sequences.consistency`.
        drift: change of the similarity to the reference with each shot.
        drift_from_first: of that to the first shot.
        misfits: what to make again, first: first.
    """

    character: str | None
    shots: Sequence[Shot]
    limits: Limits
    consistency: Near | None
    drift: float | None
    drift_from_first: float | None
    misfits: Sequence[Misfit]

    def as_json(self) -> dict[str, Any]:
        """Return everything but the parts that drifted as a JSON object."""
        return {
            "shots": [_brief(shot) for shot in self.shots],
            "consistency": self.consistency and self.consistency._asdict(),
            "drift_per_shot": self.drift,
            "drift_from_first_per_shot": self.drift_from_first,
            "limits": self.limits._asdict(),
            "misfits": [
                {
                    "asset": each.shot.asset_id,
                    "position": each.shot.position,
                    "reasons": [reason._asdict() for reason in each.reasons],
                }
                for each in self.misfits
            ],
        }


@dataclass(frozen=True, slots=True)
class SequenceReport:
    """Writes the page.

    Attributes:
        renditions: gives the small pictures.
        assets: by id: all that the summary names.
    """

    renditions: RenditionService
    assets: Mapping[str, Asset]
    summary: Summary

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the page in pieces, a picture at a time."""
        told = self.summary
        yield _head(told).encode()
        yield f"<h2>To make again ({len(told.misfits)})</h2>".encode()
        yield _misfits_note(told).encode()
        yield b"<table>"
        for rank, misfit in enumerate(told.misfits, 1):
            yield (await self._misfit(rank, misfit)).encode()
        yield b"</table><h2>Every shot</h2><table>" + _columns().encode()
        unfit = {each.shot.asset_id for each in told.misfits}
        for shot in told.shots:
            yield (await self._row(shot, is_misfit=shot.asset_id in unfit)).encode()
        yield b"</table></body></html>\n"

    async def _misfit(self, rank: int, misfit: Misfit) -> str:
        shot = misfit.shot
        reasons = "".join(f"<li>{_reason(each)}</li>" for each in misfit.reasons)
        own = await self._picture(shot.asset_id)
        reference = await self._picture(shot.reference_id, shot.drifted)
        return (
            f"<tr><td>{rank}</td><td>{own}<br>shot {shot.position + 1}<br>"
            f"<code>{escape(shot.asset_id)}</code></td>"
            f"<td>{reference}<br>its reference; framed: what the shot does not show"
            f"</td><td><ul>{reasons}</ul></td></tr>"
        )

    async def _row(self, shot: Shot, *, is_misfit: bool) -> str:
        previous = shot.previous.foreground if shot.previous else None
        first = shot.first.foreground if shot.first else None
        scores = (shot.likeness.foreground, shot.likeness.whole_image, first, previous)
        cells = "".join(f"<td>{_number(each)}</td>" for each in scores)
        mark = ' class="misfit"' if is_misfit else ""
        return (
            f"<tr{mark}><td>{shot.position + 1}</td>"
            f"<td>{await self._picture(shot.asset_id)}<br>{self._name(shot)}</td>"
            f"{cells}<td>{_number(shot.drifted_share)}</td></tr>"
        )

    def _name(self, shot: Shot) -> str:
        name = self.assets[shot.asset_id].filename or shot.asset_id
        return f"<code>{escape(name)}</code>"

    async def _picture(
        self, asset_id: str, parts: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        asset = self.assets[asset_id]
        try:
            data = await self._drawn(asset)
        except DinoserveError as error:
            return f"<em>no picture: {escape(error.detail)}</em>"
        frames = "".join(_frame(part["box"]) for part in parts)
        width, height = asset.image.width, asset.image.height
        source = f"data:image/jpeg;base64,{b64encode(data).decode()}"
        return (
            f'<figure><img alt="" src="{source}">'
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{frames}'
            "</svg></figure>"
        )

    async def _drawn(self, asset: Asset) -> bytes:
        asked = Rendition(_SIDE_PX, _SIDE_PX, format="jpeg")
        drawing = self.renditions.drawing(asset, asked, "jpeg")
        drawn = await self.renditions.open(asset, drawing)
        return b"".join([piece async for piece in drawn.read(0, drawn.size_bytes)])


def _head(told: Summary) -> str:
    against = f"character {told.character}" if told.character else "the first shot"
    mean = told.consistency
    rows = {
        "Shots compared": str(len(told.shots)),
        "Compared with": against,
        "Consistency, foreground": _number(mean and mean.foreground),
        "Consistency, whole image": _number(mean and mean.whole_image),
        "Drift from the reference, per shot": _number(told.drift),
        "Drift from the first shot, per shot": _number(told.drift_from_first),
    }
    table = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="content-security-policy" content="default-src \'none\';'
        " img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Sequence</title><style>{_STYLE}</style></head><body>"
        "<h1>Sequence</h1><p>Likeness of appearance as cosines in [-1, 1]; it is not"
        " identity.</p>"
        f"<table>{table}</table>{_chart(told)}"
    )


def _misfits_note(told: Summary) -> str:
    if told.misfits:
        return (
            "<p>Most reasons first; of as many, least like the reference first. Limits"
            " are the median of these shots less three spreads.</p>"
        )
    if told.limits.unlike_reference is None:
        return "<p>None; of so few shots, outliers are not told.</p>"
    return "<p>None.</p>"


def _chart(told: Summary) -> str:
    """Return the similarity to the reference, shot by shot, and its limit."""
    if not told.shots:
        return ""
    last = max(shot.position for shot in told.shots) or 1
    places = [
        (_WIDTH * shot.position / last, _y(shot.likeness.foreground))
        for shot in told.shots
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    limit = ""
    if told.limits.unlike_reference is not None:
        at = _y(told.limits.unlike_reference)
        limit = (
            f'<line x1="0" x2="{_WIDTH:.0f}" y1="{at:.1f}" y2="{at:.1f}"'
            ' stroke="#e69f00" stroke-dasharray="6 4"/>'
        )
    return (
        "<h2>Foreground similarity to the reference</h2>"
        f'<svg viewBox="-8 -8 {_WIDTH + 16:.0f} {_HEIGHT + 16:.0f}" width="100%"'
        ' role="img" aria-label="similarity by shot, -1 at the bottom, 1 at the top">'
        f'<polyline points="{points}" fill="none" stroke="#0072b2"/>'
        f'<g fill="#0072b2">{dots}</g>{limit}</svg>'
    )


def _y(score: float) -> float:
    return _HEIGHT * (1 - score) / 2


def _columns() -> str:
    names = (
        *("Shot", "Picture", "Foreground", "Whole image"),
        *("To the first", "To the one before", "Missing of the reference"),
    )
    return "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"


def _frame(box: Sequence[float]) -> str:
    left, top, right, bottom = box
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}"'
        f' height="{bottom - top:.1f}" fill="none" stroke="#e69f00" stroke-width="3"'
        ' vector-effect="non-scaling-stroke"/>'
    )


def _reason(reason: Reason) -> str:
    of = f" of {reason.score}" if reason.score else ""
    return f"{_TOLD[reason.why]}{of}: {reason.value:.3f}, limit {reason.limit:.3f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _brief(shot: Shot) -> dict[str, Any]:
    """Return what of a shot stands in the job's record."""
    return {
        "asset": shot.asset_id,
        "position": shot.position,
        "reference": shot.reference_id,
        "foreground": round(shot.likeness.foreground, 6),
        "whole_image": round(shot.likeness.whole_image, 6),
        "to_first": shot.first and round(shot.first.foreground, 6),
        "to_previous": shot.previous and round(shot.previous.foreground, 6),
        "drifted_share": round(shot.drifted_share, 6),
    }
