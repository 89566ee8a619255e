"""Owns what is known of a unit under study: from its model and its dataset, and from the store where these are missing.

The store holds of a unit what a system says of itself (`Facts`), and its exemplars as they were returned. With both at
hand, an investigation that is run again neither opens the dataset nor searches it; without the dataset, exemplars are
there and the model can be asked; without the model, exemplars, threshold and names are all there is.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NoReturn, TypeVar

import numpy as np
from PIL import Image

from maia_kernel.artifacts import Artifact, Store
from maia_kernel.errors import MaiaError, NotAtHand, UnknownName, UsageError
from maia_kernel.lab import models
from maia_kernel.lab.asking import Question, ask
from maia_kernel.lab.datasets import Dataset, find_dataset, pictures
from maia_kernel.lab.exemplars import KEPT, Exemplars, Progress, open_store
from maia_kernel.lab.images import as_image, dim, identity, original_of, placeholder, png_bytes, recall, remember
from maia_kernel.lab.models import Layer, Model
from maia_kernel.lab.payloads import Codec, Kept, as_tuples, facts_of, unlike
from maia_kernel.lab.units import Unit

__all__ = ["ExemplarsCodec", "Facts", "FactsCodec", "Subject"]

TOLERANCE = 1e-4  # relative, of activations and thresholds that are computed again
_WHOLE_KEY = 4  # layer, dataset, and the revisions of model and dataset

T = TypeVar("T")

Rows = list[tuple[float, Image.Image]]  # exemplars as the tools return them
Measure = Callable[[Sequence[object]], tuple[list[float], list[Image.Image]]]


@dataclass(frozen=True)
class Facts:
    """What a system says of itself.

    Attributes
    ----------
    unit, unit_name
        Number, and name where it has one.
    units, height, width, spatial
        As those of a `models.Layer`.
    threshold, rule
        Of the masks, and where it comes from.
    dataset_name, dataset_size
        What the dataset calls itself, and its number of pictures.
    """

    unit: int
    unit_name: str | None
    units: int
    height: int
    width: int
    spatial: bool
    threshold: float
    rule: str
    dataset_name: str
    dataset_size: int


class Subject:
    """A unit of a model, seen through a dataset.

    Parameters
    ----------
    model_name, layer, unit, dataset
        As those of `System`.
    store : Store
        What is known already.
    progress : callable, optional
        Called with (done, total) while exemplars are searched.

    Attributes
    ----------
    facts : Facts
        What a system says of itself.
    model : Model or None
        None where it is not at hand.

    Raises
    ------
    UnknownName, UnitOutOfRange, UsageError, ImportError, OSError
        For what neither this machine nor the store knows.
    """

    def __init__(
        self, model_name: str, layer: str, unit: int | str, dataset: str, store: Store, progress: Progress | None
    ):
        self._model_name, self._layer_name, self._store, self._progress = model_name, layer, store, progress
        self._dataset = _Pictures(dataset)
        self._found: Exemplars | None = None
        self.model, self._why = _tried(lambda: models.load_model(model_name))
        if self.model is not None:
            self.model = models.with_stored_weights(self.model, store)
            store.runs_on(next((one.device.type for one in self.model.module.parameters()), "cpu"))
        self._key = self._found_key(_plain(unit))
        request = {"kind": "subject", **self._key, "unit": _plain(unit)}
        if not store.holds(request) and not self._is_searchable():
            self._fail()
        (self.facts,) = self._asked(request, "the threshold", FactsCodec(), lambda: self._study(unit))
        facts = self.facts
        self._layer = Layer(layer, facts.units, facts.height, facts.width, facts.spatial)

    @property
    def unit(self) -> Unit:
        """How the unit is read."""
        return self._layer.unit(self.facts.unit)

    def at_hand(self) -> Model:
        """Return the model; raises NotAtHand."""
        if self.model is None:
            raise NotAtHand(
                f"the subject model {self._model_name} is not on this machine: its exemplars, and what was drawn and "
                "described, come from the store, but no activation can be computed"
            )
        return self.model

    def exemplars(self, count: int, measure: Measure) -> Rows:
        """Return (activation, masked picture) of the best exemplars, best first.

        Parameters
        ----------
        count : int
            How many; fewer where fewer are known.
        measure : callable
            From pictures to activations and masked pictures.

        Raises
        ------
        MissingArtifact
            The model or the dataset is not at hand, and the store does not hold so many.
        """
        request = {"kind": "exemplars", **self._key, "unit": self.facts.unit, "count": count}
        if not self._store.holds(request) and not self._is_searchable():
            larger = ({**request, "count": more} for more in range(count + 1, KEPT + 1))
            request = next(filter(self._store.holds, larger), request)
        what = f"the {request['count']} exemplars"
        (rows,) = self._asked(request, what, ExemplarsCodec(), lambda: self._cut(count, measure))
        return rows[:count]

    def _asked(self, request: dict[str, Any], what: str, codec: Codec[T], answer: Callable[[], T]) -> list[T]:
        where = f"unit {request['unit']} of {self._layer_name} of {self._model_name}"
        question = Question(request, f"{what} of {where} in {self._dataset.name}", codec)
        backend = None if self._is_spared(request) or not self._is_searchable() else lambda _: [answer()]
        name = f"dataset {self._dataset.name}" if self.model is not None else f"subject model {self._model_name}"
        return ask(self._store, [question], backend, f"the {name} is not on this machine")

    def _is_spared(self, request: dict[str, Any]) -> bool:
        """Whether a dataset whose revision is pinned need not even be opened."""
        if not self._dataset.pinned or self._store.recompute:
            return False
        held = self._store.get(request)
        return held is not None and held.whole

    def _is_searchable(self) -> bool:
        """Whether exemplars can be found here."""
        return self.model is not None and self._dataset.open() is not None

    def _fail(self) -> NoReturn:
        reason = self._why or self._dataset.why
        assert reason is not None
        raise reason

    def _found_key(self, unit: int | str) -> dict[str, Any]:
        """What the store calls this model, layer and dataset."""
        known: dict[str, Any] = {"layer": self._layer_name, "dataset": self._dataset.name}
        if self.model is not None:
            text = f"{self.model.revision} {self.model.preprocessing}"
            known["revision"] = hashlib.sha256(text.encode()).hexdigest()[:16]
        if self.model is not None or self._dataset.pinned:
            revision = self._dataset.revision()
            known |= {} if revision is None else {"dataset_revision": revision}
        if len(known) == _WHOLE_KEY:
            return {"backend": self._model_name, **known}
        held = self._store.search("subject", self._model_name, unit=unit, **known)
        keys = [{part: value for part, value in one.items() if part not in ("kind", "unit")} for one in held]
        if not keys:
            self._fail()
        if len(keys) > 1:
            name = self._dataset.name
            pins = sorted({f"{name}@{key['dataset_revision']}" for key in keys})
            raise UsageError(
                f"the stores know this unit by {len(keys)} versions of the model or the dataset, which are not on this "
                f"machine; name one ({' or '.join(pins)}), or keep one in the folder beside the notebook"
            )
        return keys[0]

    def _search(self, dataset: Dataset) -> Exemplars:
        if self._found is None:
            self._found = open_store(self.at_hand(), dataset, self._layer_name, self._progress)
        return self._found

    def _study(self, unit: int | str) -> Facts:
        """Find out what there is to say."""
        model, dataset = self.at_hand(), self._dataset.opened()
        layer = models.layer_of(model, self._layer_name, next(pictures(dataset)))
        number = models.unit_number(model, layer, unit)
        known = model.unit_names(layer.name)
        threshold, rule = self._search(dataset).threshold(layer.name, number)
        return Facts(
            unit=number,
            unit_name=known[number] if known else None,
            units=layer.units,
            height=layer.height,
            width=layer.width,
            spatial=layer.spatial,
            threshold=threshold,
            rule=rule,
            dataset_name=dataset.name,
            dataset_size=len(dataset),
        )

    def _cut(self, count: int, measure: Measure) -> Rows:
        """Cut the best exemplars out of the dataset."""
        dataset = self._dataset.opened()
        best = self._search(dataset).best(self._layer_name, self.facts.unit, count)
        _, masked = measure([remember(as_image(dataset[number]), origin="dataset") for _, number in best])
        return [(round(activation, 6), image) for (activation, _), image in zip(best, masked, strict=True)]


class _Pictures:
    """A dataset that is opened when it is needed."""

    def __init__(self, name: str):
        self.name, _, self.pinned = name.partition("@")
        self.why: Exception | None = None  # it is not at hand
        self._opened: Dataset | None = None

    def open(self) -> Dataset | None:
        """Return the dataset; None where it is not at hand."""
        if self._opened is None and self.why is None:
            self._opened, self.why = _tried(lambda: find_dataset(self.name))
            if self._opened is not None and self.pinned not in ("", self._opened.revision):
                self.why = UnknownName(f"revision of the dataset '{self.name}'", self.pinned, [self._opened.revision])
                self._opened = None
        return self._opened

    def opened(self) -> Dataset:
        """Return the dataset; raises why it is not at hand."""
        dataset = self.open()
        if dataset is None:
            assert self.why is not None
            raise self.why
        return dataset

    def revision(self) -> str | None:
        """Return its revision, as the notebook names it; None where nobody knows."""
        opened = None if self.pinned else self.open()
        return self.pinned or (None if opened is None else opened.revision)


def _tried(make: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return what is at hand, or why it is not."""
    try:
        return make(), None
    except (MaiaError, ImportError, OSError) as reason:
        return None, reason


def _plain(unit: object) -> int | str:
    """A unit as JSON: its number, however that was written, or its name."""
    if isinstance(unit, (int, np.integer)) and not isinstance(unit, bool):
        return int(unit)
    text = str(unit).strip()
    return int(text) if text.lstrip("-").isdigit() else text


class FactsCodec:
    """What a system says of itself."""

    def keep(self, value: Facts) -> Kept:
        return Kept(asdict(value))

    def restore(self, artifact: Artifact) -> Facts:
        return Facts(**artifact.facts)

    def unlike(self, value: Facts, artifact: Artifact) -> str:
        held = self.restore(artifact)
        if not math.isclose(value.threshold, held.threshold, rel_tol=TOLERANCE):
            return f"{value.threshold:.6g} in place of {held.threshold:.6g}"
        return "" if replace(value, threshold=held.threshold) == held else "what is known of the unit differs"


class ExemplarsCodec:
    """Exemplars as the tools return them: originals and masks are kept, from which the masked pictures are made."""

    def keep(self, value: Rows) -> Kept:
        facts, files = [], []
        for activation, image in value:
            original = original_of(image)
            facts.append(
                {
                    "activation": activation,
                    "size": list(image.size),
                    "identity": identity(image),
                    "remembered": facts_of(original),
                }
            )
            files += [png_bytes(original), png_bytes(Image.fromarray(recall(image, "mask")))]
        return Kept({"exemplars": facts}, tuple(files), tuple(range(0, len(files), 2)))

    def restore(self, artifact: Artifact) -> Rows:
        rows = []
        files = iter(artifact.files)
        for facts in artifact.facts["exemplars"]:
            data, mask = next(files), next(files)
            if data is None or mask is None:
                width, height = facts["size"]
                image = placeholder((width, height), facts["identity"])
            else:
                original = remember(as_image(data), **as_tuples(facts["remembered"]), origin="dataset")
                # By way of "L": of mode "1" numpy makes booleans whose bytes are 255.
                image = dim(original, np.asarray(Image.open(io.BytesIO(mask)).convert("L")) > 0)
            rows.append((float(facts["activation"]), image))
        return rows

    def unlike(self, value: Rows, artifact: Artifact) -> str:
        held = self.restore(artifact)
        if len(held) != len(value):
            return f"{len(value)} in place of {len(held)}"
        for i, ((activation, image), (before, old)) in enumerate(zip(value, held, strict=True), start=1):
            if not math.isclose(activation, before, rel_tol=TOLERANCE, abs_tol=1e-6):
                return f"number {i} has activation {activation:.6g} in place of {before:.6g}"
            left_out = recall(old, "withheld") is not None
            difference = "it differs" if left_out and identity(image) != identity(old) else ""
            if difference := difference or ("" if left_out else unlike(image, old)):
                return f"number {i}: {difference}"
        return ""
